import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { type BrokerOptions, graph, sampleCaller, startWorld, until } from '../support/broker.ts'

/** Many callers, many keys, over HTTP: what they cost Entra, and what they cost each other. */
const tenants = Array.from({ length: 200 }, (_, n) => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`)
const arm = 'https://management.azure.com/.default'
const world = await startWorld({ tenants: tenants.map(id => ({ id })) })
const { emulator, clock } = world
const tokens = await Promise.all(
  Array.from({ length: 100 }, (_, n) => emulator.mintCallerToken({ sub: `caller-${n}` }, { expiresIn: 86_400 })),
)

const start = (t: TestContext, environment: BrokerOptions['environment'] = {}) =>
  world.broker(t, {
    environment: { BROKER_UPSTREAM_TIMEOUT_MS: '30000', ...environment },
    policy: {
      applications: { default: sample.application },
      tenants: {},
      rules: [{ name: 'all', callers: [{ ...sampleCaller, subject: 'caller-*' }], tenants, scopes: [graph, arm] }],
    },
  })
type Broker = Awaited<ReturnType<typeof start>>

const request = (broker: Broker, caller: number, tenant = 0, scope = graph) =>
  broker.requestToken({ tenant: tenants[tenant], scope }, { token: tokens[caller] ?? '' })
const issued = () => emulator.counts().endpoints.token.outcomes['issued'] ?? 0

test('1,000 cold callers of one key at once: 1 exchange', async t => {
  const broker = await start(t)
  emulator.configure({ latency: { token: 200 } })
  const replies = await Promise.all(Array.from({ length: 1000 }, (_, n) => request(broker, n % 100)))
  assert.ok(replies.every(({ status }) => status === 200))
  assert.equal(new Set(replies.map(({ json }) => json['access_token'])).size, 1)
  assert.equal(issued(), 1)
})

test('100 keys, 10 callers of each at once: 100 exchanges, each caller with the token of its key', async t => {
  const broker = await start(t)
  const requested = Array.from({ length: 1000 }, (_, n) => ({ tenant: n % 100, caller: Math.floor(n / 100) }))
  const replies = await Promise.all(requested.map(({ tenant, caller }) => request(broker, caller, tenant)))
  assert.equal(issued(), 100)
  assert.equal(new Set(replies.map(({ json }) => json['access_token'])).size, 100)
  for (const [n, { status, json }] of replies.entries()) {
    assert.deepEqual([status, json['tenant']], [200, tenants[requested[n]?.tenant ?? -1]])
  }
  assert.ok(emulator.counts().maxConcurrentTokenRequests <= 64, 'exchanges at once')
})

test('a hot key across ten lifetimes: one exchange per refresh interval, and no caller waits', async t => {
  const broker = await start(t)
  await request(broker, 0)
  let exchanges = 1
  // Tokens live for 3,599 s and are due after three quarters of that, so with one request a minute after 45 minutes.
  for (let minute = 1; minute <= 600; minute++) {
    clock.advance(60)
    const { status, headers } = await request(broker, minute % 10)
    assert.equal(status, 200)
    const isDue = minute % 45 === 0
    assert.match(String(headers['cache-status']), isDue ? /; hit; ttl=\d+; detail=due$/ : /; hit; ttl=\d+$/)
    if (!isDue) continue
    exchanges++
    await until('the refresh', async () => !/due/.test(String((await request(broker, 0)).headers['cache-status'])))
  }
  assert.equal(issued(), exchanges)
  t.diagnostic(`${exchanges} exchanges in 600 minutes of moved time, 600 requests, none of them waited`)
})

test('one caller with 150 cold keys does not delay the single one of another', async t => {
  const broker = await start(t, { BROKER_UPSTREAM_CONCURRENCY: '4' })
  await request(broker, 0, 199)
  await request(broker, 1, 199)
  emulator.configure({ latency: { token: 20 } })
  const many = Array.from({ length: 150 }, (_, n) => request(broker, 0, n))
  await until('the queue', () => issued() >= 4)
  const before = issued()
  const { status } = await request(broker, 1, 0, arm)
  const meanwhile = issued() - before
  assert.equal(status, 200)
  t.diagnostic(`${meanwhile} exchanges meanwhile, of ${150 - before} that were requested earlier`)
  assert.ok(meanwhile < 30, `${meanwhile} exchanges came first`)
  assert.ok((await Promise.all(many)).every(each => each.status === 200))
  assert.ok(emulator.counts().maxConcurrentTokenRequests <= 4)
})

test('waiting callers do not wait for background refreshes, which have a queue of their own', async t => {
  const broker = await start(t, { BROKER_UPSTREAM_CONCURRENCY: '4' })
  for (let n = 0; n < 60; n++) await request(broker, 0, n)
  clock.advance(2700)
  emulator.resetCounts()
  emulator.configure({ latency: { token: 20 } })
  const due = await Promise.all(Array.from({ length: 60 }, (_, n) => request(broker, 0, n)))
  assert.ok(due.every(({ headers }) => /; hit; /.test(String(headers['cache-status']))))
  await request(broker, 0, 0, arm)
  const meanwhile = issued()
  t.diagnostic(`${meanwhile - 1} of 60 refreshes were made before the response to a cold request`)
  assert.ok(meanwhile < 50)
  await until('the refreshes', () => issued() === 61)
})
