import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionClosed } from '../../src/telemetry/tracing/spans.ts'
import { secret, startAgent } from '../agent/world.ts'
import { startOtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts'
import { graph, until } from '../support/broker.ts'
import { client, internal, server, tracingWorld } from './tracing-world.ts'

const { world, emulator, authorization, traced } = await tracingWorld()

/** Sends a request, waits until Entra has the request that it causes, and closes the connection. */
async function giveUp(url: string, options: RequestInit): Promise<void> {
  const closing = new AbortController()
  const response = fetch(url, { ...options, signal: closing.signal })
  await until('Entra has a request', () => emulator.counts().maxConcurrentTokenRequests > 0)
  closing.abort()
  await assert.rejects(response, { name: 'AbortError' })
}

const closed = (route: string, method: string) => ({
  'http.request.method': method,
  'http.route': route,
  'error.type': connectionClosed,
})

const ofKind = (spans: readonly ReceivedSpan[], kind: number) => spans.filter(span => span.kind === kind)

test('a request whose client gives up has a span that says so; its exchange continues, and has its own span', async t => {
  const { broker, finish } = await traced(t)
  const release = emulator.hold('token')
  t.after(release)
  await giveUp(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
  })
  release()
  await until('the token is issued', () => broker.events('token.issued').length === 1)
  const spans = await finish()
  const [request, ...more] = ofKind(spans, server)
  assert.deepEqual(
    [request?.name, request?.status, request?.attributes],
    ['POST /tokens', 2, closed('/tokens', 'POST')],
  )
  assert.deepEqual(more, [])
  const [exchange] = ofKind(spans, internal)
  assert.deepEqual([exchange?.parentId, exchange?.status], [request?.spanId, 0])
  const calls = ofKind(spans, client).filter(({ parentId }) => parentId === exchange?.spanId)
  assert.deepEqual(new Set(calls.map(({ attributes }) => attributes['http.response.status_code'])), new Set([200]))
})

test('a request to an agent whose workload gives up has such a span too', async t => {
  const central = await traced(t)
  const receiver = await startOtlpReceiver()
  t.after(receiver.close)
  const agent = await startAgent(t, world, central.broker, [], { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })
  const release = emulator.hold('token')
  t.after(release)
  const query = 'api-version=2019-08-01&resource=https://graph.microsoft.com'
  await giveUp(`${agent.url}/identity/token?${query}`, { headers: { 'x-identity-header': secret } })
  release()
  await until('the broker issues the token', () => central.broker.events('token.issued').length === 1)
  await agent.service.close()
  const [request, ...more] = ofKind(receiver.spans, server)
  const attributes = closed('/identity/token', 'GET')
  assert.deepEqual([request?.name, request?.status, request?.attributes], ['GET /identity/token', 2, attributes])
  assert.deepEqual(more, [])
})
