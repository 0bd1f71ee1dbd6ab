import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph, startWorld } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { blocksOf } from './tables.ts'

/** The jq commands of the pages, run as they stand there with the log of a broker that had every kind of trouble. */

const jq = spawnSync('jq', ['--version'])
const withJq = { skip: jq.status === 0 ? false : 'jq is not installed' }
const { tenant, granted } = { tenant: sample.contoso, granted: { tenant: 'contoso', scope: graph } }

const world = await startWorld()
const { emulator } = world
const folder = await mkdtemp(join(tmpdir(), 'token-broker-log-'))
after(() => rm(folder, { recursive: true, force: true }))

const broker = await world.broker({ after }, { environment: { BROKER_AUDIT: 'summary' } })
const strangers = await emulator.mintCallerToken({}, { audience: 'x' })
await broker.requestToken(granted)
const issued = await broker.requestToken(granted)
for (const scope of ['https://vault.azure.net/.default', graph]) await broker.requestToken({ tenant: 'unknown', scope })
for (let n = 0; n < 3; n++) await broker.requestToken(granted, { token: strangers })
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const authorization = `Bearer ${await emulator.mintCallerToken()}`
await broker.get('/health', { headers: { authorization, traceparent } })
emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
await broker.requestToken({ tenant: 'fabrikam', scope: graph })
const policy = String(broker.events('token.issued')[0]?.['policy'])
const failedId = String(broker.events('token.failed')[0]?.['request_id'])
// The repetitions are written when the broker stops.
await broker.service.close()
const foreign = ['npm warn something', '123', '"a text"', 'null', '[{ "event": 1 }]', '{ "event": "token.issued"']
await writeFile(join(folder, 'broker.log'), `${foreign.join('\n')}\n${broker.logText()}`)

/** The commands of a section, each by the first two words of the comment above it. */
function commandsOf(page: string, heading: string): ReadonlyMap<string, string> {
  // A comment of a block looks like a heading.
  const section =
    read(page)
      .split(`\n${heading}\n`)[1]
      ?.split(/\n##+ /)[0] ?? ''
  const blocks = blocksOf(section, 'sh').filter(block => block.includes('jq '))
  const commented = blocks.flatMap(block => block.split(/^# /m).slice(1))
  return new Map(
    commented.map(text => [text.split(/\s/, 2).join(' ').replace(/[.,]$/, ''), text.slice(text.indexOf('\n') + 1)]),
  )
}

/** The lines that a command prints, as cells. */
function run(command: string, environment: Readonly<Record<string, string>> = {}): readonly (readonly string[])[] {
  const options = { cwd: folder, env: { ...process.env, ...environment }, encoding: 'utf8' } as const
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], options)
  assert.deepEqual([status, stderr], [0, ''])
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.split('\t'))
}

describe('the commands of docs/errors.md', withJq, () => {
  const commands = commandsOf('docs/errors.md', '## Where to look')
  test('are these', () => assert.deepEqual([...commands.keys()], ['One request', 'What fails', 'Every remedy']))

  test('one request', () => {
    const lines = run(commands.get('One request')?.replace('1251df6e6c23-1', failedId) ?? '')
    assert.equal(lines.length, 1)
    assert.match(String(lines[0]), /"event":"token\.failed"/)
  })

  test('what fails, with a cell for every value and the number of requests', () => {
    const rows = run(commands.get('What fails') ?? '')
    assert.deepEqual(rows, [
      ['3', 'invalid_token', 'audience', '-', '-', '127.0.0.1'],
      ...[
        ['1', 'federation_misconfigured', 'federation', 'default', sample.fabrikam, 'sample-caller'],
        ['1', 'not_permitted', 'no_rule', '-', '-', 'sample-caller'],
        ['2', 'not_permitted', 'unknown_target', 'default', 'unknown', 'sample-caller'],
      ].toSorted((a, b) => Number(b[0]) - Number(a[0])),
    ])
  })

  test('every remedy', () => {
    const [remedy, ...others] = run(commands.get('Every remedy') ?? '')
    assert.match(String(remedy), /^No federated credential of application /)
    assert.deepEqual(others, [])
  })
})

describe('the commands of docs/audit.md', withJq, () => {
  const commands = commandsOf('docs/audit.md', '## Queries')
  const caller = '{"kind":"jwt","issuer":"emulator","subject":"sample-caller"}'
  const names = ['Who got', 'What the', 'Who gets', 'What was', 'One tenant', 'Which callers']
  test('are these', () => assert.deepEqual([...commands.keys()], names))

  test('who got a token that was found somewhere', () => {
    const lines = run(commands.get('Who got') ?? '', { TOKEN: String(issued.json['access_token']) })
    assert.equal(lines.length, 2, 'the first and the repeated')
    const sha256 = createHash('sha256').update(String(issued.json['access_token'])).digest('hex')
    assert.ok(lines.every(line => line.join().includes(sha256.slice(0, 32))))
  })

  test('what the broker decided in one trace', () => {
    const [line, ...others] = run(commands.get('What the') ?? '')
    assert.match(String(line), /"event":"operation\.denied"/)
    assert.deepEqual(others, [])
  })

  test('who gets which tokens, and how many', () => {
    assert.deepEqual(run(commands.get('Who gets') ?? ''), [['2', 'sample', tenant, 'default', caller]])
  })

  test('one tenant since a time', () => {
    const command = (commands.get('One tenant') ?? '').replace(/10000000-[\w-]+/, tenant)
    const since = (time: string) => run(command.replace('2026-01-31T08:00:00Z', time))
    const all = since('2000-01-01T00:00:00Z')
    assert.deepEqual(
      all.map(([, ...cells]) => cells),
      Array.from({ length: 2 }, () => ['token.issued', 'issued', '-', 'sample-caller']),
    )
    assert.deepEqual(since('9999-01-01T00:00:00Z'), [])
  })

  test('which callers are denied, where and why', () => {
    assert.deepEqual(run(commands.get('Which callers') ?? ''), [
      ['2', 'tokens', 'unknown_target', caller],
      ['1', 'health', 'no_rule', caller],
    ])
  })

  test('what was issued under a policy', () => {
    const command = commands.get('What was') ?? ''
    assert.equal(run(command.replace('7bb0ca60', policy.slice(0, 8))).length, 2)
    assert.deepEqual(run(command.replace('7bb0ca60', 'ffffffff')), [])
  })
})

describe('the queries of docs/audit.md for Log Analytics and Loki', () => {
  const page = read('docs/audit.md')
  const fields = new Set(
    [...page.matchAll(/^\| `(\w+)` \| (?:text|number|object|list) \|/gm)].map(([, field]) => field),
  )
  const events = new Set([...page.matchAll(/^\| `([a-z_]+\.[a-z_]+)` \| `/gm)].map(([, event]) => event))

  for (const [language, field] of [
    ['kusto', /\bline\.(\w+)/g],
    ['logql', /(?:json |, )\w+="(\w+)/g],
  ] as const)
    test(`use fields and events that exist (${language})`, () => {
      const blocks = blocksOf(page, language).join()
      const named = [...blocks.matchAll(field)].map(([, name]) => name)
      const compared = [...blocks.matchAll(/\b((?:token|operation)\.[a-z_]+)/g)].map(([, event]) => event)
      assert.ok(named.length > 5 && compared.length >= 3)
      assert.deepEqual(
        [named.filter(name => !fields.has(name ?? '')), compared.filter(event => !events.has(event ?? ''))],
        [[], []],
      )
    })
})
