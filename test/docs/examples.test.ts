import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { createAuthority } from '../../emulator/certificates.ts'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { run } from '../e2e/process.ts'
import { graph, parseObject, sampleCaller, startWorld, until } from '../support/broker.ts'
import { read } from '../support/sources.ts'
import { blocksOf, pages } from './tables.ts'

/** At least one example of each page, run as it stands there: against a broker and the emulator, with curl and jq. */

const missing = ['curl', 'jq'].filter(tool => spawnSync(tool, ['--version']).status !== 0)
const withTools = { skip: missing.length === 0 ? false : `${missing.join(' and ')} is not installed` }

const world = await startWorld()
const { emulator } = world
const token = await emulator.mintCallerToken()
const rules = [
  { name: 'tokens', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] },
  { name: 'operations', callers: [sampleCaller], permissions: ['observe', 'purge'] },
]
const broker = await world.broker({ after }, { policy: { rules } })

/** The first shell block of a page that has a text in it. */
function block(page: string, text: string): string {
  const found = blocksOf(read(page), 'sh').find(each => each.includes(text))
  assert.ok(found !== undefined, `${page} has no shell block with ${text}`)
  return found
}

/** A folder for a test's files, in which it also runs. */
async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-page-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Puts a program of the machine into a folder that comes first in PATH: its script replaces the real one. */
async function stub(folder: string, name: string, script: string): Promise<void> {
  await mkdir(join(folder, 'bin'), { recursive: true })
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`)
  await chmod(join(folder, 'bin', name), 0o755)
}

/** Runs shell lines, with the variables that `npm run dev` prints. Returns what they write to standard output. */
async function shell(
  script: string,
  folder: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-euc', script], {
    cwd: folder,
    timeout: 60_000,
    env: {
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
      BROKER: broker.url,
      MY_OWN_TOKEN: token,
      ...variables,
    },
  })
  return stdout
}

/** The tenant and the audience of a token in a response. */
function issuedIn(response: Json): readonly unknown[] {
  const { payload } = decodeJws(String(response['access_token'])) ?? {}
  return [payload?.['tid'], payload?.['aud']]
}
const expected = [sample.contoso, 'https://graph.microsoft.com']

/** A request as the SDKs send it, with the variables of a page. */
const bySdk =
  'curl -s "$IDENTITY_ENDPOINT?resource=https://graph.microsoft.com&api-version=2019-08-01" -H "X-IDENTITY-HEADER: $IDENTITY_HEADER"'
const byOldSdk =
  'curl -s "$MSI_ENDPOINT?resource=https://graph.microsoft.com&api-version=2017-09-01" -H "secret: $MSI_SECRET"'

/** By page. */
const examples: Readonly<Record<string, (t: TestContext) => Promise<void>>> = {
  'README.md': async t => {
    const response = parseObject(await shell(block('README.md', '/tokens'), await folderOf(t)))
    assert.deepEqual(issuedIn(response), expected)
    const [shown = ''] = blocksOf(read('README.md'), 'json')
    assert.deepEqual(Object.keys(response), Object.keys(parseObject(shown)))
  },
  'docs/agent.md': async t => {
    const folder = await folderOf(t)
    await writeFile(join(folder, 'token'), token)
    const [, ...args] = block('docs/agent.md', 'token-broker agent')
      .replace('https://broker.internal.example', broker.url)
      .replace('/run/token', join(folder, 'token'))
      .trim()
      .split(' ')
    const agent = run(t, [...args, '--port', '0'], { XDG_RUNTIME_DIR: folder })
    await until(
      'the agent prints the variables',
      () => agent.stderr().includes('export IDENTITY_HEADER') || agent.hasExited(),
    )
    const [at = '', origin = ''] = /^export IDENTITY_ENDPOINT=(http:\/\/127\.0\.0\.1:\d+)/m.exec(agent.stderr()) ?? []
    assert.ok(at !== '', agent.stderr())
    const variables = block('docs/agent.md', 'export IDENTITY_HEADER')
      .replace('http://127.0.0.1:8081', origin)
      .replace('/run/user/1000', folder)
    for (const line of variables.trim().split('\n')) assert.ok(agent.stderr().includes(line), line)
    assert.deepEqual(issuedIn(parseObject(await shell(`${variables}${bySdk}`, folder))), expected)
  },
  'docs/azure.md': async t => {
    const { IDENTITY_ENDPOINT = '', IDENTITY_HEADER = '', BROKER_IDENTITY_CLIENT_ID = '' } = emulator.environment()
    const variables = { IDENTITY_ENDPOINT, IDENTITY_HEADER, IDENTITY_CLIENT_ID: BROKER_IDENTITY_CLIENT_ID }
    const claims = parseObject(
      await shell(block('docs/azure.md', '"$IDENTITY_ENDPOINT?'), await folderOf(t), variables),
    )
    assert.deepEqual(Object.keys(claims), ['iss', 'sub', 'aud', 'tid'])
    assert.equal(claims['aud'], 'api://AzureADTokenExchange')
  },
  'docs/cache.md': async t => {
    const folder = await folderOf(t)
    await shell(block('README.md', '/tokens'), folder)
    const purged = await shell(block('docs/cache.md', 'DELETE'), folder)
    assert.deepEqual(parseObject(purged), { dropped: 1, replicas: 'this' })
  },
  'docs/clients.md': async t => {
    const folder = await folderOf(t)
    await stub(folder, 'token-broker', `exec ${process.execPath} ${join(import.meta.dirname, '../../src/cli.ts')} "$@"`)
    await writeFile(join(folder, 'token'), token)
    const command = block('docs/clients.md', 'token-broker token')
      .replace('https://broker.example', broker.url)
      .replace('/run/token', join(folder, 'token'))
    assert.deepEqual(issuedIn({ access_token: (await shell(command, folder)).trim() }), expected)
    for (const [name, request] of [
      ['IDENTITY_ENDPOINT=https', bySdk],
      ['MSI_ENDPOINT', byOldSdk],
    ] as const) {
      const variables = block('docs/clients.md', name)
        .replace('https://broker.example', broker.url)
        .replace('=…', `=${token}`)
      assert.deepEqual(issuedIn(parseObject(await shell(`${variables}${request}`, folder))), expected, name)
    }
  },
  'docs/alerts.md': async t => {
    const folder = await folderOf(t)
    const line = { event: 'token.failed', outcome: 'upstream_unavailable', reason: 'throttled', tenant: 'contoso' }
    await writeFile(join(folder, 'broker.log'), `${JSON.stringify(line)}\n`.repeat(2))
    const failures = await shell(block('docs/alerts.md', 'jq '), folder)
    assert.equal(failures.trim(), '2\tupstream_unavailable\tthrottled\tcontoso\t-')
    const alerts = await shell(block('docs/alerts.md', 'sed '), join(import.meta.dirname, '../..'))
    assert.match(alerts, /runbook_url: https:\/\/wiki\.example\/token-broker\/docs\/alerts\.md#tokenbrokerdown$/m)
  },
  'docs/image.md': async t => {
    const folder = await folderOf(t)
    await stub(folder, 'docker', 'for each; do echo "$each"; done')
    const given = (await shell(block('docs/image.md', 'docker run'), folder))
      .split('\n')
      .filter(each => /^--[a-z-]+(=|$)/.test(each))
    // These it hardens by, and `npm run image` runs every check of the image with them.
    const hardening = given.filter(each => !/^--(?:publish|volume|env-file)$/.test(each))
    assert.equal(hardening.length, 3)
    for (const option of hardening) assert.ok(read('scripts/image/container.ts').includes(`'${option}'`), option)
  },
  'docs/kubernetes.md': async t => {
    const folder = await folderOf(t)
    const authority = createAuthority('cluster CA')
    const { certPem, keyPem } = authority.issue({ names: ['token-broker.token-broker.svc'] })
    for (const [name, content] of Object.entries({ 'ca.crt': authority.caPem, 'tls.crt': certPem, 'tls.key': keyPem }))
      await writeFile(join(folder, name), content)
    const environment = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') }
    const here = await world.broker(t, { policy: { rules }, environment })
    await stub(folder, 'kubectl', 'case "$*" in *"create token"*) echo "$MY_OWN_TOKEN";; esac')
    const script = block('docs/kubernetes.md', '--connect-to').replace(/127\.0\.0\.1:8443/, new URL(here.url).host)
    assert.deepEqual(issuedIn(parseObject(await shell(script, folder))), expected)
  },
  'docs/metrics.md': async t => {
    assert.match(await shell(block('docs/metrics.md', '/metrics'), await folderOf(t)), /^# HELP token_broker_/)
  },
}

describe('an example of each page runs as it stands there', withTools, () => {
  for (const [page, example] of Object.entries(examples)) test(page, example)

  test('docs/errors.md: what is known not to work', async t => {
    t.after(() => emulator.clearFaults())
    emulator.fault({ kind: 'aadsts', at: 'token', code: 7000229 })
    const folder = await folderOf(t)
    await shell(block('docs/cache.md', 'DELETE'), folder)
    assert.equal((await broker.requestToken()).status, 403)
    const listed = await shell(block('docs/errors.md', '/cache/failures'), folder)
    assert.match(listed, /^tenant\tcontoso\tconsent\t7000229\tThe application has no usable service principal /)
    await shell(block('docs/cache.md', 'DELETE'), folder)
  })
})

/** The pages whose commands another test runs. */
const elsewhere: Readonly<Record<string, readonly [file: string, title: string]>> = {
  'docs/agent-identities.md': ['test/e2e/examples.test.ts', 'its line gets a token of an agent identity'],
  'docs/audit.md': ['test/docs/log-queries.test.ts', 'the commands of docs/audit.md'],
  'docs/callers.md': ['test/docs/callers.test.ts', 'the command prints the output on the page'],
  'docs/configuration.md': ['test/docs/configuration.test.ts', 'the errors are those that the broker reports'],
  'docs/doctor.md': ['test/doctor/command.test.ts', 'the command of docs/doctor.md'],
  'docs/errors.md': ['test/docs/log-queries.test.ts', 'the commands of docs/errors.md'],
  'docs/from-entra-sidecar.md': ['test/docs/from-entra-sidecar.test.ts', 'its example has an agent'],
  'docs/policy.md': ['test/docs/policy.test.ts', 'docs/policy.md: the commands'],
}

describe('no page is without a tested example', () => {
  const withCommands = pages().filter(page => /^ *```(?:sh|console)$/m.test(read(page)))

  test('each page with commands has one', () => {
    assert.deepEqual(withCommands, [...Object.keys(examples), ...Object.keys(elsewhere)].toSorted())
    for (const [page, [file, title]] of Object.entries(elsewhere)) {
      const source = read(file)
      for (const part of [page, title]) assert.ok(source.includes(part), `${file} does not have "${part}"`)
    }
  })

  test('every npm script that a page names exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }
    for (const page of [...pages(), 'examples/README.md', 'test/chart/README.md'])
      for (const [, name = ''] of read(page).matchAll(/\bnpm run ([a-z][a-z:-]*)/g))
        assert.ok(name in scripts, `${page}: ${name}`)
  })
})
