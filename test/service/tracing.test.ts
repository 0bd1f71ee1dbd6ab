import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { joinedAttribute } from '../../src/telemetry/tracing/joined-requests.ts'
import { callersTracesPerSecond, notExported } from '../../src/telemetry/tracing/tracing.ts'
import { send, type TestBroker, until } from '../support/broker.ts'
import type { ReceivedSpan } from '../support/otlp-receiver.ts'
import { tokenEndpointsOf } from '../support/token-endpoints.ts'
import { client, internal, server, tracingWorld } from './tracing-world.ts'

const { world, emulator, clock, authorization, traced, requestIn } = await tracingWorld()
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

describe('spans, as an OTLP receiver gets them', () => {
  test('of a token that is not cached: the request, its exchange, and the requests to the identity endpoint and Entra', async t => {
    const { broker, receiver, finish } = await traced(t, { OTEL_SERVICE_NAME: 'broker-of-tests' })
    assert.equal((await requestIn(broker)).status, 200)
    const spans = await finish()
    const request = spans.find(({ kind }) => kind === server)
    const exchange = spans.find(({ kind }) => kind === internal)
    const calls = spans.filter(({ kind, parentId }) => kind === client && parentId === exchange?.spanId)
    assert.deepEqual([request?.name, request?.parentId, request?.status], ['POST /tokens', '', 0])
    const ok = { 'http.request.method': 'POST', 'http.response.status_code': 200 }
    assert.deepEqual(request?.attributes, { ...ok, 'http.route': '/tokens' })
    assert.deepEqual([exchange?.name, exchange?.parentId], ['exchange', request?.spanId])
    // To the identity endpoint, then to Entra.
    assert.deepEqual(
      calls.map(({ name }) => name),
      ['GET', 'POST'],
    )
    const { 'url.full': url, 'server.port': port, ...entra } = calls[1]?.attributes ?? {}
    assert.equal(url, `https://localhost:${port}/${sample.contoso}/oauth2/v2.0/token`)
    assert.deepEqual(entra, { ...ok, 'server.address': 'localhost' })
    assert.ok(spans.every(span => span.traceId === request?.traceId))
    assert.deepEqual(
      broker.events('token.issued').map(line => line['trace_id']),
      [request?.traceId],
    )
    assert.equal(receiver.requests[0]?.path, '/v1/traces')
    assert.equal(receiver.resource()['service.name'], 'broker-of-tests')
  })

  test('of a cached token: the request alone', async t => {
    const { broker, finish } = await traced(t)
    await requestIn(broker)
    await requestIn(broker)
    const spans = await finish()
    assert.equal(spans.filter(({ kind }) => kind === server).length, 2)
    assert.equal(spans.filter(({ kind }) => kind === internal).length, 1)
  })

  test('of requests that wait for one token: one exchange, with a link to each request that joined it', async t => {
    const { broker, finish } = await traced(t)
    await Promise.all(Array.from({ length: 10 }, () => requestIn(broker)))
    const exchanges = (await finish()).filter(({ kind }) => kind === internal)
    assert.equal(exchanges.length, 1)
    const collapsed = broker.events('token.issued').filter(line => line['cache'] === 'collapsed')
    assert.deepEqual(
      new Set(exchanges[0]?.links.map(link => link.traceId)),
      new Set(collapsed.map(line => line['trace_id'])),
    )
    assert.equal(exchanges[0]?.attributes[joinedAttribute], collapsed.length)
  })

  for (const [what, request] of [
    ['a header', (broker: TestBroker) => requestIn(broker)],
    ['a form', async (broker: TestBroker) => (await tokenEndpointsOf(world, broker)).oauth()],
  ] as const)
    test(`of a fetch of an issuer's keys that a credential in ${what} causes: one for each document`, async t => {
      const { broker, finish } = await traced(t)
      assert.equal((await request(broker)).status, 200)
      // It is served with the cached keys while they are fetched again.
      clock.advance(360)
      assert.equal((await request(broker)).status, 200)
      const fetched = 'token_broker_issuer_key_fetches_total{issuer="emulator",outcome="ok"} 2'
      await until('the keys are fetched again', async () => (await broker.get('/metrics')).text.includes(fetched))
      const ofKeys = ({ attributes }: ReceivedSpan) => String(attributes['url.full']).startsWith(emulator.callerIssuer)
      const spans = await finish()
      const requests = spans.filter(({ name }) => name.startsWith('POST /'))
      const documents = ['/.well-known/openid-configuration', '/jwks']
      assert.deepEqual(
        spans
          .filter(ofKeys)
          .map(({ name, kind, parentId, attributes }) => [name, kind, parentId, attributes['url.full']]),
        requests.flatMap(({ spanId: parent }) =>
          documents.map(path => ['GET', client, parent, `${emulator.callerIssuer}${path}`]),
        ),
      )
      assert.equal(requests.length, 2)
      assert.ok(spans.filter(ofKeys).every(({ attributes }) => attributes['http.response.status_code'] === 200))
    })

  test('of each attempt at Entra: further ones are counted, and one that failed is an error', async t => {
    const { broker, finish } = await traced(t)
    emulator.fault({ kind: 'server-error', at: 'token', times: 1 })
    assert.equal((await requestIn(broker)).status, 200)
    const attempts = (await finish()).filter(({ kind, name }) => kind === client && name === 'POST')
    assert.deepEqual(
      attempts.map(({ status, attributes }) => [status, attributes['http.request.resend_count']]),
      [
        [2, undefined],
        [0, 1],
      ],
    )
    assert.equal(attempts[0]?.attributes['error.type'], String(attempts[0]?.attributes['http.response.status_code']))
  })

  for (const [what, fault, type] of [
    ['a connection that Entra resets', { kind: 'reset', at: 'token' }, 'ECONNRESET'],
    ['a connection that the identity endpoint resets', { kind: 'reset', at: 'identity' }, 'ECONNRESET'],
    ["a connection that the server of an issuer's keys resets", { kind: 'reset', at: 'callers' }, 'ECONNRESET'],
    ['a response of Entra that is no JSON', { kind: 'server-error', at: 'token' }, '503'],
  ] as const)
    test(`of ${what}: an error with the type ${type}`, async t => {
      const { broker, finish } = await traced(t)
      emulator.fault(fault)
      await requestIn(broker)
      const calls = (await finish()).filter(({ kind, status }) => kind === client && status === 2)
      assert.ok(calls.length > 0)
      assert.deepEqual(new Set(calls.map(({ attributes }) => attributes['error.type'])), new Set([type]))
    })

  test('an exchange belongs to the request that began it, although another one makes it start', async t => {
    const { broker, finish } = await traced(t, { BROKER_UPSTREAM_CONCURRENCY: '1' })
    const tenants = ['contoso', 'fabrikam']
    const replies = await Promise.all(tenants.map(tenant => requestIn(broker, undefined, tenant)))
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200],
    )
    const spans = await finish()
    for (const line of broker.events('token.issued')) {
      const ofTenant = spans.filter(
        ({ name, attributes }) => name === 'POST' && String(attributes['url.full']).includes(String(line['tenant'])),
      )
      assert.deepEqual(
        ofTenant.map(span => span.traceId),
        [line['trace_id']],
      )
    }
  })

  test('an error of the broker is an error of the span; a refusal is not', async t => {
    const { broker, finish } = await traced(t)
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    const failed = await requestIn(broker)
    const denied = await requestIn(broker, undefined, 'unknown')
    const spans = (await finish()).filter(({ kind }) => kind === server)
    assert.deepEqual(
      spans.map(({ attributes, status }) => [attributes['http.response.status_code'], status]),
      [
        [failed.status, 2],
        [denied.status, 0],
      ],
    )
    const ids = [failed, denied].map(({ json }) => json['trace_id'])
    assert.deepEqual(
      spans.map(span => span.traceId),
      ids,
    )
  })
})

describe("a caller's traceparent", () => {
  test('makes the request a part of its trace', async t => {
    const { broker, finish } = await traced(t)
    await requestIn(broker, `00-${traceId}-${spanId}-01`)
    const spans = await finish()
    assert.equal(spans.find(({ kind }) => kind === server)?.parentId, spanId)
    assert.ok(spans.length >= 3 && spans.every(span => span.traceId === traceId))
  })

  test('that is not recorded is not recorded here either, but its id is in the audit line', async t => {
    const { broker, receiver, finish } = await traced(t)
    await requestIn(broker, `00-${traceId}-${spanId}-00`)
    assert.deepEqual(await finish(), [])
    assert.deepEqual(receiver.requests, [])
    assert.equal(broker.events('token.issued')[0]?.['trace_id'], traceId)
  })

  for (const [what, header] of [
    ['is absent', undefined],
    ['is invalid', `01-${traceId}-${spanId}-01`],
  ] as const)
    test(`that ${what} is no reason to record what the operator does not record`, async t => {
      const { broker, finish } = await traced(t, { OTEL_TRACES_SAMPLER: 'parentbased_always_off' })
      await requestIn(broker, header)
      assert.deepEqual(await finish(), [])
    })

  test('callers cannot make the broker record more than ten traces a second', async t => {
    const { broker, finish } = await traced(t, { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' })
    const parent = (nth: number) => `00-${nth.toString(16).padStart(32, '0')}-${spanId}-01`
    for (let nth = 1; nth <= 2 * callersTracesPerSecond; nth++) await requestIn(broker, parent(nth))
    clock.advance(1)
    for (let nth = 101; nth <= 100 + 2 * callersTracesPerSecond; nth++) await requestIn(broker, parent(nth))
    const spans = (await finish()).filter(({ kind }) => kind === server)
    assert.equal(callersTracesPerSecond, 10)
    assert.equal(spans.length, 20)
  })
})

test('no credential is in a span, wherever a caller puts it', async t => {
  const { broker, receiver, finish } = await traced(t)
  const token = authorization.slice('Bearer '.length)
  const issued = String((await requestIn(broker)).json['access_token'])
  for (const path of [
    `/nothing/${token}`,
    `/health?${token}`,
    `/identity/${token}/token`,
    `/${token}/oauth2/v2.0/token`,
  ])
    await send(`${broker.url}${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': token, tracestate: token },
    })
  await finish()
  const sent = Buffer.concat(receiver.requests.map(({ body }) => body)).toString('latin1')
  assert.ok(receiver.spans.filter(({ kind }) => kind === server).length === 5)
  const secrets = [token, issued, emulator.environment()['IDENTITY_HEADER'] ?? process.env['IDENTITY_HEADER'] ?? 'x']
  for (const secret of secrets) assert.ok(secret.length > 10 && !sent.includes(secret))
  assert.ok(!/eyJ|client_assertion|client-request-id/.test(sent))
})

test('the receiver gets the headers of the configuration, and no log line has them when it refuses spans', async t => {
  const headers = { OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%20secret%20key' }
  const { broker, receiver, finish } = await traced(t, headers, {}, 400)
  assert.equal((await requestIn(broker)).status, 200)
  await finish()
  assert.equal(receiver.requests[0]?.headers['x-key'], 'a secret key')
  assert.equal(broker.logLines().filter(line => line['msg'] === notExported).length, 1)
  assert.ok(!broker.logText().includes('secret key'))
})

test('without an endpoint, nothing of a request is traced', async t => {
  const { broker } = await traced(t, { OTEL_EXPORTER_OTLP_ENDPOINT: '' })
  await requestIn(broker)
  assert.deepEqual(
    broker.events('token.issued').map(line => 'trace_id' in line),
    [false],
  )
})
