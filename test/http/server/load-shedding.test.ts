import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { systemRuntime, systemClock } from '../../../src/broker/lib/clock.ts'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { readConfig } from '../../../src/config/config.ts'
import { wire } from '../../../src/service/wire.ts'
import { graph, observers, policyOf, sampleCaller, send, startWorld, until } from '../../support/broker.ts'
import { eventLoop } from '../../support/event-loop.ts'
import { endpointRows, errorIn, exchangeRow, expectedError, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const world = await startWorld()

test("the clocks are the process's own by default: CPU time is that of all threads, in milliseconds", () => {
  assert.equal(systemRuntime.loop.time, systemClock.monotonic)
  const { user, system } = process.cpuUsage()
  const used = systemRuntime.loop.cpu()
  assert.ok(used >= (user + system) / 1000)
  assert.ok(used <= process.uptime() * 1000 * availableParallelism() + 10_000)
})

test('a start is no overload: samples begin when it listens', async t => {
  let readings = 0
  const loop = { time: () => readings++, cpu: () => 0 }
  const config = readConfig({ ...world.emulator.environment(), BROKER_POLICY_FILE: 'in-memory' })
  const policy = parsePolicy(JSON.stringify(policyOf(world.emulator)))
  const sink = { write: () => undefined, flush: () => undefined }
  const service = await wire(config, policy, sink, { clock: world.clock, random: Math.random, loop })
  t.after(() => service.close())
  assert.equal(readings, 0)
  await service.app.listen({ host: '127.0.0.1', port: 0 })
  assert.ok(readings > 0)
})

test('token requests are refused during the overload, probes and operators are not, and afterwards all are served', async t => {
  const loop = eventLoop(false)
  const operator = { name: 'operator', callers: [sampleCaller], permissions: ['purge'] }
  const granting = { name: 'sample', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] }
  const broker = await world.broker(t, {
    policy: { rules: [granting, observers, operator] },
    environment: { BROKER_PUBLIC_URL: 'https://broker.example' },
    loop,
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
