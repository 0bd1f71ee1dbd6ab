import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemRuntime, systemClock } from '../../../src/broker/lib/clock.ts'
import { createOverloadDetector, lateMs, sampleMs } from '../../../src/http/server/load-shedding.ts'
import { eventLoop, graph, observers, sampleCaller, send, startWorld, until } from '../../support/broker.ts'
import { endpointRows, errorIn, exchangeRow, expectedError, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** An overload gauge that is read after each of these delays, in milliseconds. */
function after(...delays: readonly number[]): boolean {
  let now = 0
  const { isOverloaded, sample } = createOverloadDetector(() => now)
  for (const ms of delays) {
    now += ms
    sample()
  }
  return isOverloaded()
}
const late = sampleMs + lateMs + 1

describe('an event loop that is late twice in a row is overloaded', () => {
  const table: readonly [delays: readonly number[], expected: boolean, why: string][] = [
    [[], false, 'at the start'],
    [[sampleMs, sampleMs], false, 'in time'],
    [[late], false, 'late once'],
    [[sampleMs, 5000], false, 'a long pause: garbage, a large policy'],
    [[late, late], true, 'late twice'],
    [[late - 1, late - 1], false, 'late by exactly what is allowed'],
    [[late, sampleMs, late], false, 'late, in time, late'],
    [[late, late, sampleMs], false, 'in time again'],
    [[late, late, late, late], true, 'late all the time'],
  ]
  for (const [delays, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(after(...delays), expected))
})

test("the clock is the process's own by default", () => {
  assert.equal(systemRuntime.loopTime, systemClock.monotonic)
})

test('token requests are refused during the overload, probes and operators are not, and afterwards all are served', async t => {
  const world = await startWorld()
  const loop = eventLoop(false)
  const operator = { name: 'operator', callers: [sampleCaller], permissions: ['purge'] }
  const granting = { name: 'sample', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] }
  const broker = await world.broker(t, {
    policy: { rules: [granting, observers, operator] },
    environment: { BROKER_PUBLIC_URL: 'https://broker.example' },
    loopTime: loop.time,
  })
  const endpoints = await tokenEndpointsOf(world, broker)
  const sends = [...endpointRows.map(({ send: request }) => request), exchangeRow]
  for (const request of sends) assert.equal((await request(endpoints)).status, 200)
  const purge = { method: 'DELETE', headers: { authorization: `Bearer ${endpoints.token}` } }
  const document = `${broker.url}/contoso/v2.0/.well-known/openid-configuration`
  loop.late = true
  await until('that load is shed', async () => (await endpoints.tokens()).status === 503)
  const [refused, live, ready, health, found, forgotten] = await Promise.all([
    Promise.all([...sends.map(request => request(endpoints)), endpoints.oauth({ client_assertion: 'nonsense' })]),
    send(`${broker.url}/livez`),
    send(`${broker.url}/readyz`),
    broker.get('/health'),
    send(document),
    send(`${broker.url}/tokens?tenant=fabrikam`, purge),
  ])
  assert.deepEqual(
    refused.map(reply => [errorIn(reply), reply.headers['retry-after']]),
    [
      ...endpointRows.map(({ endpoint }) => {
        const { error, retryAfter } = expectedError(endpoint, 'overloaded', { retryAfter: 2 })
        return [error, retryAfter]
      }),
      ['503 temporarily_unavailable', '2'],
      // The broker did nothing for it: it did not check the credential.
      ['503 temporarily_unavailable', '2'],
    ],
  )
  assert.notEqual(ready.json['code'], 'overloaded')
  assert.deepEqual([live.status, health.status, found.status, forgotten.status], [200, 200, 200, 200])
  loop.late = false
  await until('that no load is shed', async () => (await endpoints.tokens()).status === 200)
  for (const request of sends) assert.equal((await request(endpoints)).status, 200)
})
