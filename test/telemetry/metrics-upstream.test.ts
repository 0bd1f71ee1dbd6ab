import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault } from '../../emulator/faults.ts'
import type { Json } from '../../emulator/jws.ts'
import { graph, sampleCaller, type TestBroker } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'

const metrics = await metricsWorld()
const { emulator, clock, ask, moves } = metrics
const environment = { BROKER_UPSTREAM_TIMEOUT_MS: '400' }

const refused = (code: string) => `token_broker_requests_total{endpoint="tokens",outcome="${code}"}`
const issued = refused('issued')
const exchanged = (outcome: string) => `token_broker_exchange_duration_seconds_count{outcome="${outcome}"}`
const identity = (outcome: string) => `token_broker_identity_fetch_duration_seconds_count{outcome="${outcome}"}`

describe('an exchange is counted under its outcome, and no other series changes', () => {
  const entra = (kind: Fault['kind'], more: Partial<Fault> = {}): Fault => ({ kind, at: 'token', ...more })
  const says = (code: number) => entra('aadsts', { code })
  const rows: readonly (readonly [fault: Fault, outcome: string, code: string, attempts?: number])[] = [
    [entra('refused'), 'network', 'upstream_unavailable', 3],
    [entra('reset'), 'network', 'upstream_unavailable', 3],
    [entra('hung'), 'timeout', 'upstream_unavailable'],
    [entra('stalled-body'), 'timeout', 'upstream_unavailable'],
    [entra('throttled'), 'throttled', 'upstream_unavailable'],
    [entra('server-error'), 'server_error', 'upstream_unavailable', 3],
    [says(90033), 'server_error', 'upstream_unavailable', 3],
    [{ ...says(90033), status: 400 }, 'transient', 'upstream_unavailable'],
    [says(700213), 'federation', 'federation_misconfigured'],
    [says(90038), 'cloud', 'federation_misconfigured'],
    [says(7000229), 'consent', 'consent_required'],
    [says(90002), 'request', 'upstream_rejected'],
    [says(53003), 'unknown', 'upstream_rejected'],
    [entra('redirect'), 'redirect', 'upstream_invalid'],
    [entra('broken-json'), 'unreadable', 'upstream_invalid'],
    [entra('no-expiry'), 'no_expiry', 'upstream_invalid'],
    [entra('wrong-tenant'), 'wrong_tenant', 'upstream_invalid'],
    [entra('wrong-application'), 'wrong_application', 'upstream_invalid'],
    [entra('wrong-audience'), 'wrong_audience', 'upstream_invalid'],
    [entra('expired'), 'no_expiry', 'upstream_invalid'],
    [entra('endless'), 'no_expiry', 'upstream_invalid'],
    [entra('no-text'), 'malformed_token', 'upstream_invalid'],
    [entra('line-break'), 'malformed_token', 'upstream_invalid'],
    [entra('wrong-type'), 'not_bearer', 'upstream_invalid'],
    [entra('delegated'), 'wrong_kind', 'upstream_invalid'],
  ]
  for (const [fault, outcome, code, attempts = 1] of rows)
    test(`${fault.kind} ${fault.code ?? ''}: ${outcome}, attempts: ${attempts}`, async t => {
      // Where an attempt is repeated, each one is an exchange; one that Retry-After puts off beyond the deadline is not.
      const broker = await metrics.broker(t, attempts === 1 ? { environment } : {})
      emulator.fault(fault)
      const moved = await moves(broker, () => ask(broker))
      assert.deepEqual(moved, { [refused(code)]: 1, [exchanged(outcome)]: attempts })
      // A port that is closed sees none.
      if (fault.kind !== 'refused') assert.equal(emulator.counts().endpoints.token.total, attempts)
    })

  test('a failed attempt and a successful one: both are counted', async t => {
    const broker = await metrics.broker(t)
    emulator.fault(entra('reset', { times: 1 }))
    assert.deepEqual(await moves(broker, () => ask(broker)), {
      [issued]: 1,
      'token_broker_cache_requests_total{result="miss"}': 1,
      [exchanged('network')]: 1,
      [exchanged('ok')]: 1,
    })
  })

  test('success: ok', async t => {
    const broker = await metrics.broker(t)
    assert.deepEqual(await moves(broker, () => ask(broker)), {
      [issued]: 1,
      'token_broker_cache_requests_total{result="miss"}': 1,
      [exchanged('ok')]: 1,
    })
  })

  test('a refused assertion is fetched again; without a newer one there is one exchange', async t => {
    const broker = await metrics.broker(t)
    emulator.fault(says(700024))
    assert.deepEqual(await moves(broker, () => ask(broker)), {
      [refused('federation_misconfigured')]: 1,
      [exchanged('assertion')]: 1,
      [identity('ok')]: 1,
    })
  })

  test('with a newer assertion there are two exchanges: the refused one and the successful one', async t => {
    const broker = await metrics.broker(t)
    emulator.fault({ ...says(700024), times: 1 })
    emulator.renewIdentityToken()
    assert.deepEqual(await moves(broker, () => ask(broker)), {
      [issued]: 1,
      'token_broker_cache_requests_total{result="miss"}': 1,
      [exchanged('assertion')]: 1,
      [exchanged('ok')]: 1,
      [identity('ok')]: 1,
    })
  })

  test('the duration of an exchange is in the buckets', async t => {
    const broker = await metrics.broker(t)
    emulator.configure({ latency: { token: 200 } })
    const response = ask(broker)
    // The broker's clock stands still but for this.
    while (emulator.counts().maxConcurrentTokenRequests === 0) await new Promise(resolve => setImmediate(resolve))
    clock.advance(0.3)
    await response
    const { series } = await metrics.scrape(broker)
    const value = (suffix: string) => series.get(`token_broker_exchange_duration_seconds_${suffix}`)?.value
    // One of fabrikam in no time, one in 0.3 s.
    assert.deepEqual([value('bucket{le="0.25",outcome="ok"}'), value('bucket{le="0.5",outcome="ok"}')], [1, 2])
    assert.ok(Math.abs((value('sum{outcome="ok"}') ?? 0) - 0.3) < 1e-6)
  })
})

describe("a fetch of the identity's token is counted under its outcome", () => {
  const endpoint = (kind: Fault['kind'], more: Partial<Fault> = {}): Fault => ({ kind, at: 'identity', ...more })
  const rows: readonly (readonly [fault: Fault, outcome: string])[] = [
    [endpoint('refused'), 'network'],
    [endpoint('hung'), 'timeout'],
    [endpoint('server-error'), 'status'],
    [endpoint('throttled'), 'status'],
    [endpoint('broken-json'), 'unusable'],
    [endpoint('expired'), 'expired'],
  ]
  /** A broker that knows its caller, but has no identity's token yet. */
  const start = async (t: Parameters<typeof metrics.broker>[0], changes = {}) => {
    const broker = await metrics.bareBroker(t, { environment: { ...environment, ...changes } })
    await ask(broker, { tenant: 'unknown', scope: graph })
    return broker
  }
  for (const [fault, outcome] of rows)
    test(`${fault.kind}: ${outcome}`, async t => {
      const broker = await start(t)
      emulator.fault(fault)
      assert.deepEqual(await moves(broker, () => ask(broker)), {
        [refused('identity_unavailable')]: 1,
        [identity(outcome)]: 1,
      })
    })

  test('an identity that is not assigned: refused', async t => {
    const broker = await start(t, { BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-0000000000ff' })
    assert.deepEqual(await moves(broker, () => ask(broker)), {
      [refused('identity_unavailable')]: 1,
      [identity('refused')]: 1,
    })
  })

  test('success: ok, once for two tenants', async t => {
    const broker = await start(t)
    const both = () => Promise.all([ask(broker), ask(broker, { tenant: 'fabrikam', scope: graph })])
    assert.deepEqual(await moves(broker, both), {
      [issued]: 2,
      'token_broker_cache_requests_total{result="miss"}': 2,
      [identity('ok')]: 1,
      [exchanged('ok')]: 2,
    })
  })
})

describe("a fetch of an issuer's keys is counted by issuer and outcome", () => {
  const onprem = { issuer: `${emulator.callerIssuer}/onprem`, audiences: ['token-broker'] }
  const jwksUri = `${emulator.callerIssuer}/jwks`
  const policy: Json = {
    issuers: { ...metrics.issuers, onprem: { ...onprem, jwksUri } },
    rules: [
      { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes: [graph] },
      metrics.observers,
    ],
  }
  const fetched = (outcome: string) => `token_broker_issuer_key_fetches_total{issuer="onprem",outcome="${outcome}"}`
  const verified = 'token_broker_caller_verifications_total{issuer="onprem",outcome="verified"}'
  const askAsOnprem = async (broker: TestBroker) =>
    broker.requestToken(undefined, { token: await emulator.mintCallerToken({}, { issuer: onprem.issuer }) })

  test('keys that can be fetched: ok', async t => {
    const broker = await metrics.broker(t, { policy })
    assert.deepEqual(await moves(broker, () => askAsOnprem(broker)), {
      [fetched('ok')]: 1,
      [verified]: 1,
      [refused('not_permitted')]: 1,
      'token_broker_denials_total{endpoint="tokens",reason="no_rule"}': 1,
    })
  })

  for (const kind of ['refused', 'hung', 'server-error', 'html', 'broken-json', 'redirect', 'huge-body'] as const)
    test(`${kind}: keys`, async t => {
      const broker = await metrics.broker(t, { policy, environment })
      emulator.fault({ kind, at: 'callers' })
      assert.deepEqual(await moves(broker, () => askAsOnprem(broker)), {
        [fetched('keys')]: 1,
        'token_broker_caller_verifications_total{issuer="onprem",outcome="issuer_unavailable"}': 1,
        [refused('issuer_unavailable')]: 1,
      })
    })

  test('keys from a file are one fetch, at the start', async t => {
    const broker = await metrics.broker(t)
    const { series } = await metrics.scrape(broker)
    assert.equal(series.get('token_broker_issuer_key_fetches_total{issuer="emulator",outcome="ok"}')?.value, 1)
  })
})
