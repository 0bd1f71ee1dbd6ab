import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { sampleCaller, graph, startWorld, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { startAgent } from './world.ts'

const world = await startWorld()
const { emulator, clock } = world
const arm = 'https://management.azure.com/.default'
const rules = [{ name: 'both', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph, arm] }]

test("consent that is missing for one resource does not block another, and Entra's code is reported", async t => {
  const agent = await startAgent(t, world, await world.broker(t, { policy: { rules } }))
  emulator.fault({ kind: 'aadsts', at: 'token', code: 65001, times: 1, tenant: sample.contoso })
  const { status, json } = await agent.requestToken()
  assert.deepEqual([status, json['code']], [403, 'consent_required'])
  assert.deepEqual((json['upstream'] as { codes: unknown }).codes, [65001])
  assert.equal((await agent.requestToken({ scope: arm })).status, 200)
})

test('the broker, not the agent, caches an error of the federation: every other key is a request to the broker', async t => {
  const broker = await world.broker(t, { policy: { rules } })
  const agent = await startAgent(t, world, broker)
  emulator.fault({ kind: 'aadsts', at: 'token', code: 700213, times: 1, tenant: sample.contoso })
  assert.equal((await agent.requestToken()).json['code'], 'federation_misconfigured')
  const failed = broker.events('token.failed').length
  assert.equal((await agent.requestToken({ scope: arm })).json['code'], 'federation_misconfigured')
  assert.equal(broker.events('token.failed').length, failed + 1, 'the broker responded')
})

test('with a cached token, the agent waits once for a broker that hangs, and for less than its deadline', async t => {
  const port = await freePort()
  const broker = await world.broker(t, { policy: { rules }, environment: { PORT: String(port) } })
  const agent = await startAgent(t, world, broker)
  assert.equal((await agent.requestToken()).status, 200)
  assert.equal((await agent.requestToken({ scope: arm })).status, 200)
  await broker.service.close()
  let requests = 0
  const hung = createServer(() => requests++)
  const { promise, resolve } = Promise.withResolvers<void>()
  hung.listen(port, '127.0.0.1', resolve)
  await promise
  t.after(() => {
    hung.closeAllConnections()
    hung.close()
  })
  clock.advance(301)
  const began = performance.now()
  assert.equal((await agent.requestToken()).status, 200)
  const first = performance.now() - began
  assert.ok(first < 4000, `after ${first} ms`)
  assert.equal((await agent.requestToken({ scope: arm })).status, 200)
  assert.equal((await agent.requestToken()).status, 200)
  assert.ok(performance.now() - began - first < 1000, 'the second key does not wait')
  await until('both requests', () => requests === 2)
})

test('the line "not ready yet" has its cause once', async t => {
  const agent = await startAgent(t, world, { url: `http://127.0.0.1:${await freePort()}` })
  void agent.service.warmUp()
  await until('the line', () => agent.logText().includes('not ready yet'))
  const line =
    agent
      .logText()
      .split('\n')
      .find(each => each.includes('not ready yet')) ?? ''
  const { outcome, cause, err } = JSON.parse(line) as Readonly<Record<string, unknown>>
  assert.deepEqual([outcome, cause], ['upstream_unavailable', undefined])
  assert.match(JSON.stringify(err), /"cause":.*ECONNREFUSED/)
})
