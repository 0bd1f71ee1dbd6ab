import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { doctorCommand } from '../../src/commands/doctor.ts'
import type { Report } from '../../src/doctor/report.ts'
import { blocksOf } from '../docs/tables.ts'
import { read } from '../support/sources.ts'
import { endedHere, environmentOf, run } from '../e2e/process.ts'
import { startDoctorWorld } from './world.ts'

const { emulator } = await startDoctorWorld()
const withoutJq = spawnSync('jq', ['--version']).status !== 0 && 'jq is not installed'

describe('token-broker doctor', () => {
  test('prints lines for people, no token, and exits with 6 if something failed', async t => {
    const environment = await environmentOf(t, emulator)
    const doctor = run(t, ['doctor'], environment)
    assert.equal(await doctor.exited, 6)
    const text = doctor.stdout()
    assert.match(text, /^Settings\n {2}√ settings\.environment {2}the environment is valid\n/)
    assert.match(text, /\n {2}× consent\.token {2}tailspin, default: .*AADSTS7000229/)
    assert.match(
      text,
      /\nDo this first, for consent\.token \(tailspin, default\):\n {2}https:\/\/localhost:\d+\/40000000-\S+\/adminconsent/,
    )
    assert.doesNotMatch(text, /eyJ|\[redacted/)
    assert.ok(!text.includes(environment['IDENTITY_HEADER'] ?? ''))
    assert.equal(doctor.stderr(), '')
  })

  test('--json prints one document, and exits with 0 if nothing failed', async t => {
    const doctor = run(t, ['doctor', '--json', '--tenant', 'contoso'], await environmentOf(t, emulator))
    assert.equal(await doctor.exited, 0)
    const report = JSON.parse(doctor.stdout()) as Report
    assert.deepEqual([report.version, report.ok, report.first, report.exchanges], [1, true, null, 1])
  })

  test('without any setting it says which are missing, and ends', async t => {
    const doctor = run(t, ['doctor'])
    assert.equal(await doctor.exited, 6)
    assert.match(doctor.stdout(), /× settings\.environment {2}BROKER_POLICY_FILE: is required/)
    assert.match(doctor.stdout(), /– network\.dns {2}skipped because of settings\.environment/)
  })

  test('ends although work goes on, such as the look-up of a name', async t => {
    const endless = 'data:text/javascript,setInterval(() => undefined, 1000)'
    const flags = ['--disable-sigusr1', '--import', endless]
    const doctor = run(t, ['doctor', '--json'], {}, flags)
    assert.equal(await doctor.exited, 6)
    assert.equal((JSON.parse(doctor.stdout()) as Report).ok, false)
  })

  for (const [args, says] of [
    [['--frob'], /Unknown option '--frob'/],
    [['--jsn'], /did you mean --json/],
    [['contoso'], /doctor takes no arguments/],
    [['--tenant', 'common'], /--tenant must be the name of a tenant in the policy, or its id/],
    [['--tenant', '../evil'], /--tenant must be/],
    [['--tenant', ''], /--tenant must be/],
  ] as const)
    test(`${args.join(' ')}: wrong usage, exit code 2`, async () => {
      const { code, stdout, stderr } = await endedHere(doctorCommand, args)
      assert.deepEqual([code, stdout], [2, ''])
      assert.match(stderr, says)
    })
})

test('the command of docs/doctor.md prints what to do first', { skip: withoutJq }, async t => {
  const command = blocksOf(read('docs/doctor.md'), 'sh').find(block => block.includes('jq')) ?? ''
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, 'token-broker')
  const cli = join(import.meta.dirname, '../../src/cli.ts')
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`)
  await chmod(program, 0o700)
  const path = `${folder}:${process.env['PATH']}`
  const environment = { ...(await environmentOf(t, emulator)), PATH: path }
  // In this process nothing responds meanwhile: the emulator is in it. So it is one without it.
  const closed = { ...environment, BROKER_AUTHORITY: 'https://localhost:1' }
  const printed = execFileSync('/bin/sh', ['-c', command], { env: closed, encoding: 'utf8' })
  assert.equal(printed, 'allow outgoing TCP from this network to localhost:1\n')
})
