import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { sample } from '../../../emulator/options.ts'
import {
  type BrokerOptions,
  graph,
  type Reply,
  sampleCaller,
  startWorld,
  type TestBroker,
} from '../../support/broker.ts'
import { waitPatiently } from './world.ts'

/** What later callers get after a failure of Entra: for what and how long it is cached, and which failures a retry hides. */
const second = '3b000000-0000-4000-8000-00000000000b'
const arm = 'https://management.azure.com/.default'
const {
  emulator,
  clock,
  broker: startBroker,
} = await startWorld({
  applications: [{ clientId: sample.application }, { clientId: second }],
  tenants: [sample.contoso, sample.fabrikam, sample.tailspin].map(id => ({ id })),
})
const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
const rule = {
  name: 'everything here',
  callers: [sampleCaller],
  tenants: ['contoso', 'fabrikam', 'tailspin'],
  scopes: [graph, arm],
  applications: ['default', 'second'],
}
const start = (t: TestContext, environment: BrokerOptions['environment'] = {}) =>
  startBroker(t, {
    policy: { applications: { default: sample.application, second }, rules: [rule] },
    environment: { BROKER_UPSTREAM_TIMEOUT_MS: '1000', ...environment },
    ...(environment['BROKER_UPSTREAM_TIMEOUT_MS'] === undefined && { wait: waitPatiently }),
  })

const requests = () => emulator.counts().endpoints.token.total

const key = { application: 'default', tenant: 'contoso', scope: graph }
const others = {
  'of its tenant': { ...key, scope: arm },
  'of its application': { ...key, tenant: 'fabrikam' },
  'of another application': { ...key, application: 'second' },
}
/** Which of the {@link others} are served from the negative cache. */
const cached = { key: [], tenant: ['of its tenant'], application: ['of its tenant', 'of its application'] }

type Level = keyof typeof cached
const at = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'token', ...rest })
const aadsts = (code: number): Fault => at('aadsts', { code })

/** With half of the jitter. */
const rows: readonly [fault: Fault, level: Level, seconds: number, why: string][] = [
  [at('throttled', { retryAfter: 7 }), 'key', 7.5, 'Retry-After, and half a second of jitter'],
  [at('throttled', { retryAfter: 7, httpDate: true }), 'key', 7.5, 'Retry-After as a date'],
  [at('throttled', { retryAfter: 'none' }), 'key', 1.5, 'a limit without Retry-After: a second'],
  [at('throttled', { retryAfter: 86_400 }), 'key', 300.5, 'a Retry-After of a day counts as five minutes'],
  [at('server-error'), 'key', 0.5, 'a server error: only jitter'],
  [aadsts(700_213), 'application', 22.5, 'the federated credential does not fit: the middle of 15 to 30 s'],
  [aadsts(700_024), 'application', 22.5, "the identity's token is refused"],
  [aadsts(90_038), 'tenant', 45, 'another cloud'],
  [aadsts(700_016), 'tenant', 45, 'no consent: the middle of 30 to 60 s'],
  [aadsts(90_002), 'tenant', 45, 'the tenant does not exist'],
  [aadsts(65_001), 'key', 45, 'no consent for one resource'],
  [aadsts(500_011), 'key', 45, 'the resource does not exist'],
  [aadsts(53_003), 'key', 45, 'refused for another reason'],
  [at('wrong-tenant'), 'key', 45, 'a response that cannot be used'],
]

/** Sends a request: the response, and how many requests to Entra it caused. */
async function requestsFor(broker: TestBroker, body: typeof key): Promise<{ reply: Reply; caused: number }> {
  const before = requests()
  const reply = await broker.requestToken(body, { token })
  return { reply, caused: requests() - before }
}

describe('a failure is cached for what it concerns, and for its period', () => {
  for (const [fault, level, seconds, why] of rows) {
    const name = fault.code ?? fault.kind
    test(`${name}: for its ${level}, ${seconds} s (${why})`, async t => {
      const broker = await start(t)
      emulator.fault(fault)
      const attempts = fault.kind === 'server-error' ? 3 : 1
      const { status, json } = (await requestsFor(broker, key)).reply
      for (const [which, body] of Object.entries({ 'the same': key, ...others })) {
        const isCached = which === 'the same' || cached[level].some(each => each === which)
        const { reply, caused } = await requestsFor(broker, body)
        assert.deepEqual([reply.status, reply.json['code']], [status, json['code']], which)
        assert.equal(caused, isCached ? 0 : attempts, which)
      }
      emulator.clearFaults()
      clock.advance(seconds - 0.001)
      assert.equal((await requestsFor(broker, key)).caused, 0, 'a moment before')
      clock.advance(0.001)
      const { reply, caused } = await requestsFor(broker, key)
      assert.deepEqual([reply.status, caused], [200, 1], 'then')
      for (const body of Object.values(others)) assert.equal((await broker.requestToken(body, { token })).status, 200)
    })
  }
})

describe('a failure that passes within the timeout does not reach callers', () => {
  const passing: readonly [fault: Fault, requests: number, why: string][] = [
    [at('reset', { times: 1 }), 2, 'a connection that breaks'],
    [at('reset', { times: 2 }), 3, 'twice'],
    [at('server-error', { times: 1 }), 2, 'a server error'],
    [at('server-error', { times: 2 }), 3, 'twice'],
    [at('throttled', { times: 1, retryAfter: 1 }), 2, 'a limit, with a second to wait'],
  ]
  for (const [fault, expected, why] of passing) {
    test(`${fault.kind} at ${fault.at}, ${fault.times} times (${why}): 200 after ${expected} requests`, async t => {
      const broker = await start(t, { BROKER_UPSTREAM_TIMEOUT_MS: '5000' })
      emulator.fault(fault)
      const replies = await Promise.all(Array.from({ length: 5 }, () => broker.requestToken(key, { token })))
      for (const { status } of replies) assert.equal(status, 200)
      assert.equal(requests(), expected)
    })
  }

  test('an assertion that is refused although the platform has a newer one: 200 after two requests', async t => {
    const broker = await start(t)
    await broker.requestToken({ ...key, tenant: 'fabrikam' }, { token })
    emulator.renewIdentityToken()
    emulator.fault(at('aadsts', { code: 700_024, times: 1 }))
    emulator.resetCounts()
    assert.equal((await broker.requestToken(key, { token })).status, 200)
    const { endpoints } = emulator.counts()
    assert.deepEqual([endpoints.token.total, endpoints.identity.total], [2, 1])
  })
})
