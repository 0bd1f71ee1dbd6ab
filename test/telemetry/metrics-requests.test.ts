import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { graph, observers, sampleCaller, send, type TestBroker } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'
import { sendRaw } from '../http/server/raw.ts'

const metrics = await metricsWorld()
const { emulator, ask, moves, caller, observer } = metrics

const counted = (endpoint: string, outcome: string) =>
  `token_broker_requests_total{endpoint="${endpoint}",outcome="${outcome}"}`
const denied = (endpoint: string, reason: string) =>
  `token_broker_denials_total{endpoint="${endpoint}",reason="${reason}"}`
const verified = (issuer: string, outcome: string) =>
  `token_broker_caller_verifications_total{issuer="${issuer}",outcome="${outcome}"}`

const json = { 'content-type': 'application/json' }
const good = { ...json, authorization: `Bearer ${caller}` }
const body = (changes: Json = {}) => JSON.stringify({ tenant: 'contoso', scope: graph, ...changes })

describe('a request is counted once, by endpoint and outcome', () => {
  const post = (headers: Record<string, string>, text: string) => (broker: TestBroker) =>
    send(`${broker.url}/tokens`, { method: 'POST', headers, body: text })
  const get =
    (path: string, token = observer) =>
    (broker: TestBroker) =>
      broker.get(path, { token })
  const rows: readonly (readonly [
    endpoint: string,
    outcome: string,
    happens: (broker: TestBroker) => Promise<unknown>,
  ])[] = [
    ['tokens', 'invalid_request', post(good, '{}')],
    ['tokens', 'invalid_tenant', post(good, body({ tenant: 'common' }))],
    ['tokens', 'invalid_scope', post(good, body({ scope: 'User.Read' }))],
    ['tokens', 'unauthenticated', post(json, body())],
    ['tokens', 'unsupported_media_type', post({ ...good, 'content-type': 'text/plain' }, body())],
    ['tokens', 'too_large', post(good, body({ x: 'x'.repeat(17_000) }))],
    ['livez', 'ok', get('/livez')],
    ['readyz', 'not_ready', get('/readyz')],
    ['health', 'ok', get('/health')],
    ['health', 'unauthenticated', broker => send(`${broker.url}/health`)],
    ['cache', 'ok', get('/cache')],
    ['cache_entries', 'ok', get('/cache/entries')],
    ['cache_entries', 'invalid_request', get('/cache/entries?limit=0')],
    ['cache_entries', 'invalid_tenant', get('/cache/entries?tenant=common')],
    ['cache_failures', 'ok', get('/cache/failures')],
    ['cache_failures', 'invalid_request', get('/cache/failures?limit=0')],
    ['cache_failures', 'invalid_tenant', get('/cache/failures?tenant=common')],
    ['decisions', 'ok', get('/decisions')],
    ['decisions', 'invalid_request', get('/decisions?limit=0')],
    ['decisions', 'invalid_tenant', get('/decisions?tenant=common')],
    ['dashboard', 'ok', get('/dashboard')],
    ['dashboard', 'not_found', get('/dashboard/view/nothing.js')],
    ['docs', 'ok', get('/docs')],
    ['docs', 'not_found', get('/docs/nothing.js')],
    ['none', 'not_found', get('/nowhere')],
    ['none', 'not_found', get('/health/')],
    ['none', 'method_not_allowed', broker => send(`${broker.url}/health`, { method: 'DELETE' })],
    ['none', 'method_not_allowed', broker => send(`${broker.url}/tokens`)],
    ['none', 'invalid_request', broker => sendRaw(broker.url, 'NONSENSE\r\n\r\n')],
    [
      'none',
      'invalid_request',
      broker => sendRaw(broker.url, 'GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
    ],
    ['none', 'invalid_request', broker => sendRaw(broker.url, 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n')],
    [
      'none',
      'headers_too_large',
      broker => sendRaw(broker.url, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`),
    ],
  ]
  for (const [index, [endpoint, outcome, happens]] of rows.entries())
    test(`${index + 1}: ${endpoint} ${outcome}`, async t => {
      const broker = await metrics.broker(t)
      assert.deepEqual(await moves(broker, () => happens(broker)), { [counted(endpoint, outcome)]: 1 })
    })

  test('ready', async t => {
    const broker = await metrics.broker(t)
    await broker.service.warmUp()
    assert.deepEqual(await moves(broker, () => broker.get('/readyz')), { [counted('readyz', 'ok')]: 1 })
  })

  test('a scrape is counted too, in the next scrape', async t => {
    const broker = await metrics.broker(t)
    const count = async () => (await metrics.scrape(broker)).series.get(counted('metrics', 'ok'))?.value
    assert.deepEqual([await count(), await count(), await count()], [undefined, 1, 2])
  })
})

describe('a denial is counted by endpoint and reason', () => {
  const subject = (name: string) => ({ issuer: 'emulator', subject: name })
  const policy = {
    deny: [{ tenants: ['fabrikam'] }, { callers: [subject('dismissed')] }],
    rules: [
      { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes: [graph] },
      { ...observers, callers: [subject('dashboard'), subject('dismissed')] },
      { ...observers, name: 'cleaner', callers: [subject('cleaner')], permissions: ['purge'] },
    ],
  }
  const tokens: readonly (readonly [reason: string, ask: Json, why: string])[] = [
    ['no_rule', { scope: 'https://management.azure.com/.default' }, 'a scope that no rule names'],
    ['no_rule', { tenant: 'tailspin' }, 'a tenant that no rule names'],
    ['denied', { tenant: 'fabrikam' }, 'a denial'],
    ['unknown_target', { tenant: 'unknown' }, 'a tenant that the policy does not know'],
    ['unknown_target', { application: 'unknown' }, 'an application that the policy does not know'],
  ]
  for (const [reason, changes, why] of tokens)
    test(`tokens ${reason}: ${why}`, async t => {
      const broker = await metrics.broker(t, { policy })
      assert.deepEqual(await moves(broker, () => ask(broker, body(changes))), {
        [counted('tokens', 'not_permitted')]: 1,
        [denied('tokens', reason)]: 1,
      })
    })

  for (const [endpoint, path] of [
    ['health', '/health'],
    ['cache', '/cache'],
    ['cache_entries', '/cache/entries'],
    ['cache_failures', '/cache/failures'],
    ['decisions', '/decisions'],
  ] as const)
    for (const [sub, reason] of [
      ['sample-caller', 'no_rule'],
      ['cleaner', 'no_rule'],
      ['dismissed', 'denied'],
    ] as const)
      test(`${endpoint} ${reason}: ${sub}`, async t => {
        const broker = await metrics.broker(t, { policy })
        const token = await emulator.mintCallerToken({ sub })
        assert.deepEqual(await moves(broker, () => broker.get(path, { token })), {
          [counted(endpoint, 'not_permitted')]: 1,
          [denied(endpoint, reason)]: 1,
          [verified('emulator', 'verified')]: 1,
        })
      })

  test('metrics: a caller without the permission is counted in them', async t => {
    const broker = await metrics.broker(t, { policy })
    const moved = await moves(broker, () => broker.get('/metrics', { token: caller }))
    assert.deepEqual(moved, { [denied('metrics', 'no_rule')]: 1 })
  })
})

describe('a verified credential is counted by its issuer and outcome; a cached verification is not', () => {
  const mint = (...how: Parameters<typeof emulator.mintCallerToken>) => emulator.mintCallerToken(...how)
  const rows: readonly (readonly [issuer: string, outcome: string, make: () => Promise<string>])[] = [
    ['emulator', 'expired', () => mint({}, { expiresIn: -31 })],
    ['emulator', 'signature', () => mint({}, { key: 'foreign' })],
    ['emulator', 'key', () => mint({}, { header: { kid: 'unknown' } })],
    ['emulator', 'algorithm', () => mint({}, { header: { alg: 'none' } })],
    ['emulator', 'audience', () => mint({}, { audience: 'other' })],
    ['emulator', 'not_yet_valid', () => mint({ nbf: 9_999_999_999 })],
    ['emulator', 'subject', () => mint({}, { omit: ['sub'] })],
    ['emulator', 'expiry', () => mint({}, { omit: ['exp'] })],
    ['emulator', 'claims', () => mint({ sub: '' })],
    ['emulator', 'confirmation', () => mint({ cnf: { jkt: 'x' } })],
    ['emulator', 'unsupported', () => mint({}, { header: { crit: ['x'], x: 1 } })],
    // What names no issuer that is configured has none.
    ['', 'malformed', async () => 'nonsense'],
    ['', 'issuer', () => mint({}, { issuer: 'https://elsewhere.example' })],
    ['emulator', 'type', () => mint({}, { header: { typ: 'logout+jwt' } })],
  ]
  for (const [issuer, outcome, make] of rows)
    test(`${issuer || 'no issuer'}: ${outcome}`, async t => {
      const broker = await metrics.broker(t)
      const token = await make()
      assert.deepEqual(await moves(broker, () => broker.requestToken(undefined, { token })), {
        [counted('tokens', 'invalid_token')]: 1,
        [verified(issuer, outcome)]: 1,
      })
    })

  test('a valid one is counted the first time only', async t => {
    const broker = await metrics.broker(t)
    const token = await mint()
    await ask(broker)
    const threeTimes = async () => {
      for (let n = 0; n < 3; n++) await broker.requestToken(undefined, { token })
    }
    assert.deepEqual(await moves(broker, threeTimes), {
      [counted('tokens', 'issued')]: 3,
      'token_broker_cache_requests_total{result="hit"}': 3,
      [verified('emulator', 'verified')]: 1,
    })
  })
})
