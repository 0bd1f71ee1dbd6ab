import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { startEmulator } from '../../emulator/emulator.ts'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { encodeKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { graph, parseObject, policyOf } from '../support/broker.ts'
import { environmentOf, run, serve } from './process.ts'

/** The command as it ships, against a broker as it ships. */

// Not the synchronous one: the emulator is in this process.
const execute = promisify(execFile)

const emulator = await startEmulator()
after(() => emulator.close())
const key = encodeKey(Buffer.alloc(32, 7))
const audience = 'api://broker'
const environment = await environmentOf({ after }, emulator)
const { IDENTITY_ENDPOINT = '', IDENTITY_HEADER = '', BROKER_POLICY_FILE = '' } = environment
const identityId = environment['BROKER_IDENTITY_CLIENT_ID'] ?? ''
const { issuers, ...policy } = policyOf(emulator)
const homeIssuer = String(decodeJws(await emulator.mintIdentityToken())?.payload['iss'])
await writeFile(
  BROKER_POLICY_FILE,
  JSON.stringify({
    ...policy,
    issuers: { ...(issuers as object), entra: { issuer: homeIssuer, audiences: [audience] } },
    apiKeys: { erp: { sha256: hashKey(key), expires: '2999-01-01' } },
    rules: [
      {
        name: 'all kinds of callers',
        callers: [
          { issuer: 'emulator', subject: 'sample-caller' },
          { issuer: 'entra', claims: { azp: identityId } },
          { apiKey: 'erp' },
        ],
        tenants: ['contoso'],
        scopes: [graph],
      },
    ],
  }),
)
const broker = await serve({ after }, environment)

const folder = await mkdtemp(join(tmpdir(), 'token-broker-token-'))
after(() => rm(folder, { recursive: true, force: true }))
const tokenFile = join(folder, 'token')
const keyFile = join(folder, 'key')
const callerToken = await emulator.mintCallerToken()
await writeFile(tokenFile, `${callerToken}\n`)
await writeFile(keyFile, key)

const request = ['--broker', broker.url, '--tenant', 'contoso', '--scope', graph]
const withFile = [...request, '--token-file', tokenFile]

async function ended(t: TestContext, args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const command = run(t, ['token', ...args], variables)
  return { code: await command.exited, stdout: command.stdout(), stderr: command.stderr() }
}

const managed = [...request, '--managed-identity', '--audience', audience, '--client-id', identityId]
const ofPlatform = { IDENTITY_ENDPOINT, IDENTITY_HEADER }
describe('the token alone is on standard output', () => {
  for (const [what, args, variables] of [
    ['a token of a file', withFile, {}],
    ['an API key', [...request, '--api-key-file', keyFile], {}],
    ["the caller's own managed identity", managed, ofPlatform],
  ] as const)
    test(`the credential is ${what}`, async t => {
      const { code, stdout, stderr } = await ended(t, args, variables)
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, /^[\w.-]+\n$/)
      assert.equal(decodeJws(stdout.trim())?.payload['tid'], sample.contoso)
    })
})

describe('an output that another program reads', () => {
  test('json', async t => {
    const { stdout } = await ended(t, [...withFile, '--output', 'json'])
    const { access_token: token, tenant, scope, expires_in: seconds } = parseObject(stdout)
    assert.deepEqual([typeof token, tenant, scope], ['string', sample.contoso, graph])
    assert.ok(Number(seconds) > 60)
  })

  test("azure-cli: the Azure SDK's AzureCliCredential reads it in place of az", async () => {
    const command = [process.execPath, join(import.meta.dirname, '../../src/cli.ts'), 'token', ...withFile]
    await writeFile(join(folder, 'az'), `#!/bin/sh\nexec ${command.join(' ')} --output azure-cli\n`, { mode: 0o755 })
    const sdk = `import { AzureCliCredential } from '@azure/identity'
      const { token, expiresOnTimestamp } = await new AzureCliCredential().getToken('${graph}')
      process.stdout.write(JSON.stringify({ token, seconds: (expiresOnTimestamp - Date.now()) / 1000 }))`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '--eval', sdk], {
      cwd: import.meta.dirname,
      timeout: 60_000,
      env: { PATH: `${folder}:${process.env['PATH']}`, ...(process.env['HOME'] && { HOME: process.env['HOME'] }) },
    })
    const { token, seconds } = parseObject(stdout)
    assert.equal(decodeJws(String(token))?.payload['tid'], sample.contoso)
    assert.ok(Number(seconds) > 60 && Number(seconds) < 90_000, String(seconds))
  })

  const curl = { skip: spawnSync('curl', ['--version']).status === 0 ? false : 'curl is not installed' }
  for (const [what, args, variables] of [
    ['a file', withFile, {}],
    ['a managed identity', managed, ofPlatform],
  ] as const)
    test(`curl, with ${what}: the line gets a token, and has no credential in it`, curl, async t => {
      const { code, stdout: line } = await ended(t, [...args, '--output', 'curl'], variables)
      assert.equal(code, 0)
      assert.ok(!line.includes(callerToken) && !line.includes(IDENTITY_HEADER), line)
      const env = { PATH: process.env['PATH'], ...variables }
      const { stdout } = await execute('sh', ['-euc', line], { timeout: 60_000, env })
      assert.equal(parseObject(stdout)['tenant'], sample.contoso, line)
    })
})

describe('a refusal is on standard error, as the broker words it', () => {
  test('the policy denies: exit code 7, with the id of the line in the audit log', async t => {
    const { code, stdout, stderr } = await ended(t, [...withFile, '--scope', 'https://management.azure.com/.default'])
    assert.deepEqual([code, stdout], [7, ''])
    assert.match(stderr, /^token-broker: the broker refused the request: HTTP 403 not_permitted\n/)
    const id = /\nrequest id: (\S+)\n$/.exec(stderr)?.[1] ?? 'none'
    assert.ok(broker.stdout().includes(id), stderr)
  })

  test('the credential is unknown: exit code 7, without the credential', async t => {
    const file = join(folder, 'other')
    const other = encodeKey(Buffer.alloc(32, 8))
    await writeFile(file, other)
    const { code, stderr } = await ended(t, [...request, '--api-key-file', file])
    assert.equal(code, 7)
    assert.match(stderr, /HTTP 401 invalid_token/)
    assert.ok(!stderr.includes(other))
  })

  test('nothing listens: exit code 8', async t => {
    const { code, stderr } = await ended(t, [...withFile, '--broker', 'http://127.0.0.1:1'])
    assert.equal(code, 8)
    assert.match(stderr, /^token-broker: The broker could not be reached\.\ncause: .*ECONNREFUSED/)
  })

  test('the file does not exist: exit code 3', async t => {
    const { code, stderr } = await ended(t, [...request, '--token-file', '/nowhere/token'])
    assert.equal(code, 3)
    assert.match(stderr, /cause: .*\/nowhere\/token/)
  })

  test('the identity is not assigned: exit code 3, and the remedy names the flags', async t => {
    const args = [...request, '--managed-identity', '--audience', audience, '--client-id', sample.contoso]
    const { code, stderr } = await ended(t, args, ofPlatform)
    assert.equal(code, 3)
    assert.match(stderr, /remedy: Assign .* or correct --client-id\. .*correct --audience \(api:\/\/broker\)/)
  })
})

test('a hostile server in the place of the broker cannot control the terminal', async t => {
  const escape = '\u001b]0;owned\u0007\u009b2J\u202e\u2028'
  const server = createServer((_request, response) => {
    const fields = { code: `not_permitted${escape}`, detail: `no${escape}`, remedy: `r${escape}`, request_id: escape }
    response.writeHead(403, { 'content-type': 'application/problem+json' }).end(JSON.stringify(fields))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { code, stderr } = await ended(t, [...withFile, '--broker', url])
  assert.equal(code, 7)
  assert.doesNotMatch(stderr.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
  assert.equal(stderr.trimEnd().split('\n').length, 4)
})
