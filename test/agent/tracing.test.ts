import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { notExported } from '../../src/telemetry/tracing/tracing.ts'
import { joinedAttribute } from '../../src/telemetry/tracing/joined-requests.ts'
import type { TestBroker } from '../support/broker.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { client, internal, server, tracingWorld } from '../service/tracing-world.ts'
import { secret, startAgent } from './world.ts'

const { world, emulator, traced } = await tracingWorld()
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

/** An agent that sends its spans to a receiver. */
async function tracedAgent(t: TestContext, broker: Pick<TestBroker, 'url'>, environment = {}, status = 200) {
  const receiver = await startOtlpReceiver(status)
  t.after(receiver.close)
  const agent = await startAgent(t, world, broker, [], { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...environment })
  const finish = async () => {
    await agent.service.close()
    return receiver.spans
  }
  return { agent, receiver, finish }
}

/** A server in place of the broker, which records the headers of requests and refuses them. */
async function recordingBroker(t: TestContext) {
  const headers: IncomingHttpHeaders[] = []
  const broker = createServer((request, response) => {
    headers.push(request.headers)
    request.resume().on('end', () => response.writeHead(503).end())
  }).listen(0, '127.0.0.1')
  await once(broker, 'listening')
  t.after(() => {
    broker.closeAllConnections()
    broker.close()
  })
  return { url: `http://127.0.0.1:${(broker.address() as AddressInfo).port}`, headers }
}

describe('the spans of an agent', () => {
  test('are parts of one trace, from the workload over agent and broker to Entra', async t => {
    const central = await traced(t)
    const { agent, receiver, finish } = await tracedAgent(t, central.broker)
    const headers = { 'x-identity-header': secret, traceparent: `00-${traceId}-${spanId}-01` }
    assert.equal((await agent.identity({}, headers)).status, 200)
    const ofAgent = await finish()
    const ofBroker = await central.finish()
    const [request, exchange, call] = [server, internal, client].map(kind => ofAgent.find(span => span.kind === kind))
    assert.deepEqual([request?.name, request?.parentId], ['GET /identity/token', spanId])
    assert.deepEqual([exchange?.name, exchange?.parentId], ['exchange', request?.spanId])
    assert.deepEqual([call?.name, call?.parentId], ['POST', exchange?.spanId])
    assert.deepEqual(call?.attributes, {
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(central.broker.url).port),
      'url.full': `${central.broker.url}/tokens`,
    })
    const atBroker = ofBroker.find(({ kind }) => kind === server)
    assert.deepEqual([atBroker?.name, atBroker?.parentId], ['POST /tokens', call?.spanId])
    assert.ok(
      ofBroker.some(({ kind, attributes }) => kind === client && String(attributes['url.full']).includes('/oauth2/')),
    )
    assert.ok([...ofAgent, ...ofBroker].every(span => span.traceId === traceId))
    assert.equal(receiver.resource()['service.name'], 'token-broker-agent')
    for (const log of [agent.logText(), central.broker.logText()])
      assert.match(log, new RegExp(`"trace_id":"${traceId}"`))
  })

  test('of a cached token: the request alone', async t => {
    const { agent, finish } = await tracedAgent(t, (await traced(t)).broker)
    await agent.identity()
    await agent.identity()
    const spans = await finish()
    assert.equal(spans.filter(({ kind }) => kind === server).length, 2)
    assert.equal(spans.filter(({ kind }) => kind === client).length, 1)
  })

  test('of requests that wait for one token have links to each other', async t => {
    const { agent, finish } = await tracedAgent(t, (await traced(t)).broker)
    await Promise.all(Array.from({ length: 5 }, () => agent.identity()))
    const exchanges = (await finish()).filter(({ kind }) => kind === internal)
    assert.equal(exchanges.length, 1)
    assert.equal(exchanges[0]?.links.length ?? 0, Number(exchanges[0]?.attributes[joinedAttribute] ?? 0))
  })

  test("of a refusal of the broker: the span of the request has the broker's status, and is an error", async t => {
    const { agent, finish } = await tracedAgent(t, (await traced(t)).broker)
    assert.equal((await agent.identity({ resource: 'https://vault.azure.net' })).status, 403)
    const call = (await finish()).find(({ kind }) => kind === client)
    assert.deepEqual([call?.status, call?.attributes['error.type']], [2, '403'])
  })
})

describe('the traceparent that an agent sends to its broker', () => {
  for (const [what, sampler, flags] of [
    ['a trace that is recorded', 'parentbased_always_on', '01'],
    ['a trace that is not recorded', 'parentbased_always_off', '00'],
  ] as const)
    test(`of ${what} has the flags ${flags}`, async t => {
      const { url, headers } = await recordingBroker(t)
      const { agent, finish } = await tracedAgent(t, { url }, { OTEL_TRACES_SAMPLER: sampler })
      await agent.identity()
      await finish()
      assert.match(String(headers[0]?.['traceparent']), new RegExp(`^00-[0-9a-f]{32}-[0-9a-f]{16}-${flags}$`))
      assert.equal(headers[0]?.['tracestate'], undefined)
    })

  test('is absent without an endpoint, also if the workload sends one', async t => {
    const { url, headers } = await recordingBroker(t)
    const agent = await startAgent(t, world, { url })
    await agent.identity({}, { 'x-identity-header': secret, traceparent: `00-${traceId}-${spanId}-01` })
    assert.equal(headers.length, 1)
    assert.equal(headers[0]?.['traceparent'], undefined)
  })
})

test('neither spans nor the log of an agent have a credential', async t => {
  const headers = { OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20secret%20key' }
  const { agent, receiver, finish } = await tracedAgent(t, (await traced(t)).broker, headers, 400)
  const issued = String((await agent.identity()).json['access_token'])
  await agent.send(`/nothing/${secret}`, { headers: { traceparent: secret } })
  await finish()
  assert.equal(receiver.requests[0]?.headers['x-key'], 'a secret key')
  assert.ok(agent.logText().includes(notExported))
  assert.ok(!agent.logText().includes('secret key'))
  const sent = Buffer.concat(receiver.requests.map(({ body }) => body)).toString('latin1')
  const workload = await emulator.mintCallerToken()
  for (const credential of [secret, issued]) assert.ok(credential.length > 10 && !sent.includes(credential))
  assert.ok(!sent.includes(workload.slice(0, 20)))
})
