import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { graph, observers, sampleCaller, send, startWorld, type TestBroker } from '../support/broker.ts'
import { endpointRows, tokenEndpointsOf } from '../support/token-endpoints.ts'

const world = await startWorld()
const { emulator } = world
const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const jwksFile = join(folder, 'jwks.json')
await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))

const iss = 'https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000004/v2.0'
const oid = '5d1f0000-0000-4000-8000-0000000000a1'
const client = '04b07795-0000-4000-8000-0000000000c1'
const address = 'eve@contoso.example'
const issuers = {
  emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] },
  entra: { issuer: iss, audiences: ['token-broker'], jwksFile },
}
const people = {
  name: 'people',
  callers: [{ issuer: 'entra', delegated: true, claims: { azp: client, roles: 'Broker.Observe' } }],
  permissions: ['observe'],
}
/** Grants tokens to everything that the token of the user says besides scp, and to applications with its role. */
const tempting = {
  name: 'tempting',
  callers: [
    { issuer: 'entra', claims: { oid } },
    { issuer: 'entra', claims: { azp: client } },
    { issuer: 'entra', claims: { roles: 'Broker.*' } },
    { issuer: 'entra', subject: 'pair*' },
    sampleCaller,
  ],
  tenants: '*',
  scopes: [graph],
}

const startBroker = (t: TestContext, more: readonly Json[] = [], policy: Json = {}) =>
  world.broker(t, { policy: { issuers, rules: [people, tempting, observers, ...more], ...policy } })

/** A delegated token of a user with the role, for the client application. */
const mint = (claims: Json = {}) =>
  emulator.mintCallerToken(
    {
      sub: 'pairwise',
      azp: client,
      oid,
      scp: 'Broker.Access',
      roles: ['Broker.Observe'],
      preferred_username: address,
      email: address,
      upn: address,
      name: 'Eve',
      ...claims,
    },
    { issuer: iss },
  )

const purge = async (broker: TestBroker, token: string) =>
  send(`${broker.url}/tokens?all=true`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })

describe('a user with a delegated token', () => {
  for (const path of ['/health', '/metrics', '/cache', '/cache/entries', '/cache/failures', '/decisions'])
    test(`reads ${path}, twice: the cached caller has the same permission`, async t => {
      const broker = await startBroker(t)
      const token = await mint()
      assert.equal((await broker.get(path, { token })).status, 200)
      assert.equal((await broker.get(path, { token })).status, 200)
    })

  test('does not purge without the permission, and is named by object id in the 403, the log and /decisions', async t => {
    const broker = await startBroker(t)
    const token = await mint()
    const { status, json, text } = await purge(broker, token)
    assert.equal(status, 403)
    assert.match(String(json['detail']), new RegExp(`the user "${oid}" \\(oid, by a delegated token\\)`))
    assert.match(String(json['detail']), new RegExp(`client id "${client}"`))
    const caller = { kind: 'jwt', issuer: 'entra', subject: 'pairwise', oid, client_id: client }
    assert.deepEqual(
      broker.events('operation.denied').map(line => line['caller']),
      [caller],
    )
    const decisions = await broker.get('/decisions', { token })
    assert.deepEqual((decisions.json['decisions'] as readonly Json[])[0]?.['caller'], caller)
    for (const shown of [text, decisions.text, broker.logText()]) {
      assert.ok(!shown.includes(address))
      assert.ok(!shown.includes('Eve'))
    }
  })

  test('purges with the permission, and the audit log says who it was', async t => {
    const broker = await startBroker(t, [{ ...people, name: 'purgers', permissions: ['purge'] }])
    assert.equal((await purge(broker, await mint())).status, 200)
    assert.partialDeepStrictEqual(broker.events('tokens.purged'), [{ caller: { oid, client_id: client } }])
  })

  const refused: readonly [claims: Json, status: number, why: string][] = [
    [{ azp: '04b07795-0000-4000-8000-0000000000c2' }, 403, 'a token for another client application'],
    [{ roles: undefined }, 403, 'without the role'],
    [{ acct: 1 }, 403, 'a guest with the role'],
    [{ idp: 'live.com' }, 403, 'a guest with a personal account'],
    [{ scp: undefined, sub: oid }, 403, 'an application with the role and the client id'],
    [{ idtyp: 'app' }, 401, 'an application with a forged scp'],
    [{ sub: oid }, 401, 'the same without idtyp'],
    [{ scp: undefined, idtyp: 'user' }, 401, 'a user without a scope'],
    [{ azp: undefined }, 401, 'an ID token'],
    [{ aud: 'https://graph.microsoft.com' }, 401, 'a token for another API'],
  ]
  for (const [claims, status, why] of refused)
    test(`does not read /health: ${status} for ${why}`, async t => {
      const broker = await startBroker(t, [], { rules: [people, observers] })
      assert.equal((await broker.get('/health', { token: await mint(claims) })).status, status)
    })

  test('does not read /health once a denial without "delegated" names its object id', async t => {
    const broker = await startBroker(t, [], { deny: [{ callers: [{ issuer: 'entra', claims: { oid } }] }] })
    assert.equal((await broker.get('/health', { token: await mint() })).status, 403)
  })
})

describe('a delegated token never gets a token, whatever the rules say of its claims', () => {
  for (const { endpoint, send: request } of endpointRows)
    test(`at the endpoint ${endpoint.name}: refused as a credential, before and after it was used for /health`, async t => {
      const broker = await startBroker(t)
      const to = await tokenEndpointsOf(world, broker)
      const credential = await mint()
      const errors = async () => {
        const { status, json } = await request(to, { credential })
        assert.ok(status === 401, `${status} ${JSON.stringify(json)}`)
        assert.ok(!('access_token' in json))
      }
      await errors()
      assert.equal((await broker.get('/health', { token: credential })).status, 200)
      await errors()
      const reasons = broker.events('caller.refused').map(({ reason, outcome }) => [outcome, reason])
      assert.deepEqual(reasons[0], ['invalid_token', 'delegated'])
      assert.deepEqual(broker.events('token.issued'), [])
    })

  test('as subject_token of a token exchange', async t => {
    const broker = await startBroker(t)
    const to = await tokenEndpointsOf(world, broker)
    const { status, json } = await to.exchange({ subject_token: await mint() })
    assert.deepEqual([status, json['error']], [400, 'invalid_request'])
  })

  test('while the application with the same claims and no scp does', async t => {
    const broker = await startBroker(t)
    await broker.service.warmUp()
    const { status } = await broker.requestToken(undefined, { token: await mint({ scp: undefined, sub: oid }) })
    assert.equal(status, 200)
  })
})
