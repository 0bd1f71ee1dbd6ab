import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { test, type TestContext } from 'node:test'
import { createCache } from '../../src/broker/tokens/cache.ts'
import type { Grant } from '../../src/broker/authorization/authorize.ts'
import { joinedAttribute, maxLinks } from '../../src/telemetry/tracing/joined-requests.ts'
import { createTracing } from '../../src/telemetry/tracing/tracing.ts'
import { grantFor } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'

/** A cache with traced exchanges that last until `release`, and requests that join within the call. */
async function tracedCache(t: TestContext, concurrency = 64) {
  const receiver = await startOtlpReceiver()
  t.after(receiver.close)
  const clock = movableClock()
  const agent = new Agent()
  const log = { warn: () => assert.fail('spans could not be exported') }
  const settings = { url: `${receiver.url}/v1/traces`, headers: {}, serviceName: 'test', ratio: 1 }
  const { server, spans, close } = createTracing(settings, { version: '1', clock, agent, log })
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const cache = createCache(() => spans.exchange(() => released.then(() => ({ token: 'a token', expiresIn: 3600 }))), {
    clock,
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs: 60_000,
    concurrency,
    spans,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  const waiting: unknown[] = []
  return {
    clock,
    /** A request that waits for the token of a grant. Returns the id of its trace. */
    request: (grant: Grant, traceparent?: string): string => {
      const span = server.begin('POST', traceparent)
      span.run(() => {
        waiting.push(Promise.resolve(cache.get(grant, 0)).finally(() => span.end(200, '/tokens')))
      })
      return span.traceId
    },
    /** Lets the exchanges end. Returns the spans, by name. */
    finish: async () => {
      release()
      await Promise.all(waiting)
      await close()
      return Map.groupBy(receiver.spans, ({ name }) => name)
    },
  }
}

const [contoso, fabrikam] = [grantFor({ tenant: 'contoso' }), grantFor({ tenant: 'fabrikam' })]

test('an exchange has a link to each request that joined it, and none to the one that began it', async t => {
  const { request, finish } = await tracedCache(t)
  const first = request(contoso)
  const others = [request(contoso), request(contoso)]
  const spans = await finish()
  const [exchange, ...more] = spans.get('exchange') ?? []
  assert.equal(exchange?.traceId, first)
  assert.deepEqual(more, [])
  const requests = spans.get('POST /tokens') ?? []
  const joined = requests.filter(({ traceId }) => traceId !== first)
  assert.deepEqual(
    joined.map(({ traceId }) => traceId),
    others,
  )
  assert.deepEqual(
    exchange?.links,
    joined.map(({ traceId, spanId }) => ({ traceId, spanId })),
  )
  assert.equal(exchange?.attributes[joinedAttribute], 2)
})

test('requests that join before the exchange has its turn are linked too', async t => {
  const { request, finish } = await tracedCache(t, 1)
  request(fabrikam)
  const first = request(contoso)
  const others = [request(contoso), request(contoso)]
  const spans = await finish()
  const [before, exchange] = spans.get('exchange') ?? []
  assert.deepEqual(before?.links, [])
  assert.equal(before?.attributes[joinedAttribute], undefined)
  assert.equal(exchange?.traceId, first)
  assert.deepEqual(
    exchange?.links.map(({ traceId }) => traceId),
    others,
  )
})

test('an exchange has 32 links at most, and counts all requests that joined', async t => {
  const { request, finish } = await tracedCache(t)
  request(contoso)
  const others = Array.from({ length: 40 }, () => request(contoso))
  const [exchange] = (await finish()).get('exchange') ?? []
  assert.equal(maxLinks, 32)
  assert.deepEqual(
    exchange?.links.map(({ traceId }) => traceId),
    others.slice(0, 32),
  )
  assert.equal(exchange?.attributes[joinedAttribute], 40)
})

const notRecorded = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'

test('a request that is not recorded is counted, but has no span to which a link could lead', async t => {
  const { request, finish } = await tracedCache(t)
  request(contoso)
  request(contoso, notRecorded)
  const other = request(contoso)
  const [exchange] = (await finish()).get('exchange') ?? []
  assert.deepEqual(
    exchange?.links.map(({ traceId }) => traceId),
    [other],
  )
  assert.equal(exchange?.attributes[joinedAttribute], 2)
})

test('an exchange that a request began which is not recorded is not recorded, even if recorded ones join it', async t => {
  const { request, finish } = await tracedCache(t)
  request(contoso, notRecorded)
  request(contoso)
  const spans = await finish()
  assert.equal(spans.get('exchange'), undefined)
  assert.equal(spans.get('POST /tokens')?.length, 1)
})
