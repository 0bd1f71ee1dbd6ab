import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, observers, type Reply, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { movesBetween, scrape } from '../../telemetry/scrape.ts'

const world = await startWorld()
const { emulator, clock } = world

const subject = (name: string) => ({ issuer: 'emulator', subject: name })
const grant = (name: string, ...permissions: readonly string[]) => ({ name, callers: [subject(name)], permissions })
const policy = {
  deny: [
    { callers: [subject('dismissed')] },
    { callers: [subject('not-here')], tenants: ['contoso'] },
    { callers: [subject('not-this')], scopes: [graph] },
    { callers: [subject('not-with')], applications: ['default'] },
    { tenants: ['fabrikam'] },
  ],
  rules: [
    { name: 'sample', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] },
    observers,
    grant('cleaner', 'purge'),
    grant('operator', 'observe', 'purge'),
    grant('dismissed', 'observe'),
    grant('not-here', 'observe'),
    grant('not-this', 'observe'),
    grant('not-with', 'observe'),
  ],
}
const broker = await world.broker({ after }, { policy })
await broker.requestToken()

const guarded = ['/health', '/metrics', '/cache', '/cache/entries', '/cache/failures', '/decisions'] as const
const endpointOf = (path: string) => path.slice(1).replace('/', '_')
const tokenOf = (sub: string) => emulator.mintCallerToken({ sub })
const as = async (sub: string, path: string) => broker.get(path, { token: await tokenOf(sub) })

const notStored = ({ headers }: Reply) => assert.equal(headers['cache-control'], 'no-store')

for (const path of guarded) {
  describe(`GET ${path}`, () => {
    type Request = readonly [path: string, headers: Record<string, string>]
    const withoutCredential: readonly (readonly [what: string, request: (token: string) => Request])[] = [
      ['no credential', () => [path, {}]],
      ['Basic credentials', () => [path, { authorization: 'Basic dXNlcjpwYXNz' }]],
      ['a token in the query (RFC 6750 §2.3 advises against it)', token => [`${path}?access_token=${token}`, {}]],
      ['a token in a cookie', token => [path, { cookie: `token=${token}` }]],
    ]
    for (const [what, request] of withoutCredential)
      test(`with ${what} is 401 unauthenticated`, async () => {
        const [url, headers] = request(await tokenOf('dashboard'))
        const reply = await broker.get(url, { headers })
        assert.deepEqual([reply.status, reply.json['code']], [401, 'unauthenticated'])
        assert.equal(reply.headers['www-authenticate'], 'Bearer realm="token-broker"')
        notStored(reply)
      })

    const wrong: readonly (readonly [what: string, make: () => Promise<string>])[] = [
      ['nonsense', async () => 'nonsense'],
      ['a token that has expired', () => emulator.mintCallerToken({ sub: 'dashboard' }, { expiresIn: -31 })],
      ['a foreign signature', () => emulator.mintCallerToken({ sub: 'dashboard' }, { key: 'foreign' })],
      ['a token for another audience', () => emulator.mintCallerToken({ sub: 'dashboard' }, { audience: 'other' })],
    ]
    for (const [what, make] of wrong)
      test(`with ${what} is 401 invalid_token, and one line of the audit log`, async t => {
        const fresh = await world.broker(t, { policy })
        const reply = await fresh.get(path, { token: await make() })
        assert.deepEqual([reply.status, reply.json['code']], [401, 'invalid_token'])
        notStored(reply)
        const [line, ...more] = fresh.events('caller.refused')
        assert.partialDeepStrictEqual(line, { endpoint: endpointOf(path), request_id: reply.json['request_id'] })
        assert.deepEqual(more, [])
      })

    const forbidden: readonly (readonly [sub: string, reason: string, why: string])[] = [
      ['stranger', 'no_rule', 'no rule names this caller'],
      ['sample-caller', 'no_rule', 'a rule for tokens grants no permission'],
      ['cleaner', 'no_rule', 'purge does not include observe'],
      ['dismissed', 'denied', 'a denial of the whole caller wins over the permission'],
    ]
    for (const [sub, reason, why] of forbidden)
      test(`is 403 for ${sub}: ${why}`, async () => {
        const [lines, before] = [broker.events('operation.denied').length, await scrape(broker)]
        const reply = await as(sub, path)
        assert.deepEqual([reply.status, reply.json['code']], [403, 'not_permitted'], reply.text)
        assert.match(String(reply.json['detail']), /"observe"/)
        notStored(reply)
        const [line, ...more] = broker.events('operation.denied').slice(lines)
        assert.partialDeepStrictEqual(line, {
          outcome: 'not_permitted',
          permission: 'observe',
          reason,
          endpoint: endpointOf(path),
          caller: { kind: 'jwt', issuer: 'emulator', subject: sub },
          request_id: reply.json['request_id'],
        })
        assert.deepEqual(more, [])
        const moved = movesBetween(before, await scrape(broker))
        assert.equal(moved[`token_broker_denials_total{endpoint="${endpointOf(path)}",reason="${reason}"}`], 1)
      })

    const admitted: readonly (readonly [sub: string, why: string])[] = [
      ['dashboard', 'a rule grants observe'],
      ['operator', 'a rule grants observe and purge'],
      ['not-here', 'a denial of tenants is about tokens'],
      ['not-this', 'a denial of scopes is about tokens'],
      ['not-with', 'a denial of applications is about tokens'],
    ]
    for (const [sub, why] of admitted)
      test(`is 200 for ${sub}: ${why}`, async () => {
        const reply = await as(sub, path)
        assert.equal(reply.status, 200, reply.text)
        notStored(reply)
      })

    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS'])
      test(`${method} is 405, without any data`, async () => {
        const authorization = `Bearer ${await tokenOf('dashboard')}`
        const { status, headers } = await send(broker.url + path, { method, headers: { authorization } })
        assert.deepEqual([status, headers.allow], [405, 'GET'])
      })
  })
}

describe('the permission to observe', () => {
  test('grants no token', async () => {
    const { status, json } = await broker.requestToken(undefined, { token: await tokenOf('dashboard') })
    assert.deepEqual([status, json['code']], [403, 'not_permitted'])
  })

  test('is checked again for every request: an expired token grants nothing', async () => {
    const token = await emulator.mintCallerToken({ sub: 'dashboard' }, { expiresIn: 60 })
    assert.equal((await broker.get('/health', { token })).status, 200)
    clock.advance(91)
    assert.equal((await broker.get('/health', { token })).status, 401)
  })

  test('is checked before the query: a caller without it does not learn what a good query is', async () => {
    for (const path of ['/cache/entries', '/cache/failures', '/decisions']) {
      const { status, json } = await broker.get(`${path}?limit=0`, { token: await tokenOf('stranger') })
      assert.deepEqual([status, json['code']], [403, 'not_permitted'])
    }
  })

  test('cannot be checked while the issuer is unavailable from the start: 503, as at every endpoint', async t => {
    const here = await world.broker(t)
    emulator.fault({ kind: 'server-error', at: 'callers' })
    const reply = await here.get('/health')
    assert.deepEqual([reply.status, reply.json['code']], [503, 'issuer_unavailable'])
    notStored(reply)
  })
})

describe('the probes', () => {
  for (const path of ['/livez', '/readyz'])
    test(`${path} is open, returns nothing but the verdict, and is not stored`, async () => {
      const reply = await send(broker.url + path)
      assert.deepEqual(Object.keys(reply.json), ['status'])
      notStored(reply)
    })

  test('/readyz is 503 until the broker is ready, then 200, then 503 while it drains', async t => {
    const here = await world.broker(t)
    const readyz = async () => {
      const { status, json } = await send(`${here.url}/readyz`)
      return [status, json['status']]
    }
    assert.deepEqual(await readyz(), [503, 'not ready'])
    await here.service.warmUp()
    assert.deepEqual(await readyz(), [200, 'ready'])
    here.service.drain()
    assert.deepEqual(await readyz(), [503, 'not ready'])
    assert.equal((await send(`${here.url}/livez`)).status, 200)
  })
})
