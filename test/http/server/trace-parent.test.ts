import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import { graph, policyOf, send, startWorld, type TestBroker } from '../../support/broker.ts'

const world = await startWorld()
const { emulator } = world
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parent = '00f067aa0ba902b7'
const valid = `00-${traceId}-${parent}-01`
const usual = { tenant: 'contoso', scope: graph }
const authorization = `Bearer ${await emulator.mintCallerToken()}`

/** A request for a token with these `traceparent` headers. */
const requestIn = (
  broker: TestBroker,
  traceparent: string | string[],
  body: object = usual,
  credential = authorization,
) =>
  send(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { authorization: credential, 'content-type': 'application/json', traceparent },
    body: JSON.stringify(body),
  })

const ignored: readonly (readonly [what: string, header: string | string[]])[] = [
  ['an empty one', ''],
  ['upper case', `00-${traceId.toUpperCase()}-${parent}-01`],
  ['a trace id of zeros', `00-${'0'.repeat(32)}-${parent}-01`],
  ['a parent id of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
  ['a trace id that is too short', `00-${traceId.slice(1)}-${parent}-01`],
  ['a trace id that is too long', `00-${traceId}a-${parent}-01`],
  ['ids with the length of each other', `00-${parent}-${traceId}-01`],
  ['no flags', `00-${traceId}-${parent}`],
  ['flags that are not hexadecimal', `00-${traceId}-${parent}-0g`],
  ['more than version 00 has', `${valid}-x`],
  ['version ff', `ff-${traceId}-${parent}-01`],
  ['a later version', `01-${traceId}-${parent}-01`],
  ['a later version with a text of its own', `01-${traceId}-${parent}-01-"${'x'.repeat(2000)}`],
  ['two headers', [valid, valid]],
  ['a quote in the id', `00-${traceId.slice(1)}"-${parent}-01`],
]

describe('traceparent', () => {
  for (const flags of ['00', '01', 'ff'])
    test(`the trace id of a valid header is in the problem and in the audit line, with the flags ${flags}`, async t => {
      const broker = await world.broker(t)
      const { json } = await requestIn(broker, `00-${traceId}-${parent}-${flags}`, { ...usual, tenant: 'unknown' })
      const [line] = broker.events('token.denied')
      assert.deepEqual([json['code'], json['trace_id'], line?.['trace_id']], ['not_permitted', traceId, traceId])
    })

  for (const [what, header] of ignored)
    test(`${what} is ignored`, async t => {
      const broker = await world.broker(t)
      assert.equal((await requestIn(broker, header)).status, 200)
      const { json } = await requestIn(broker, header, { ...usual, tenant: 'unknown' })
      assert.ok(!('trace_id' in json))
      for (const event of ['token.issued', 'token.denied'])
        assert.deepEqual(
          broker.events(event).map(line => 'trace_id' in line),
          [false],
        )
    })

  test('is in problems of requests that reach no route', async t => {
    const broker = await world.broker(t)
    const headers = { traceparent: valid }
    assert.equal((await send(`${broker.url}/nothing`, { headers })).json['trace_id'], traceId)
    assert.equal((await send(`${broker.url}/tokens`, { headers })).json['trace_id'], traceId)
  })

  test('no upstream service gets it', async t => {
    const broker = await world.broker(t)
    const sent = watchRequests(t)
    assert.equal((await requestIn(broker, valid)).status, 200)
    const upstream = sent.filter(({ origin }) => !broker.url.includes(origin))
    assert.ok(upstream.length >= 2, 'the identity endpoint and Entra')
    for (const { text } of upstream) assert.ok(!/traceparent|tracestate/i.test(text) && !text.includes(traceId), text)
  })
})

/** The host, and path and headers as a text, of every request that this process sends from now on. */
function watchRequests(t: TestContext): readonly { readonly origin: string; readonly text: string }[] {
  const sent: { origin: string; text: string }[] = []
  const seen = (message: unknown): void => {
    const { request } = message as { request: ClientRequest }
    sent.push({ origin: String(request.getHeader('host')), text: JSON.stringify([request.path, request.getHeaders()]) })
  }
  subscribe('http.client.request.start', seen)
  t.after(() => unsubscribe('http.client.request.start', seen))
  return sent
}

describe('every audit line of a request has the trace id of its traceparent', () => {
  const janitors = { name: 'janitor', callers: [{ issuer: 'emulator', subject: 'janitor' }], permissions: ['purge'] }
  const policy = { rules: [...(policyOf(emulator) as { rules: object[] }).rules, janitors] }
  type Act = (broker: TestBroker) => Promise<unknown>
  const acts: readonly (readonly [event: string, environment: Readonly<Record<string, string>>, act: Act])[] = [
    ['token.issued', { BROKER_AUDIT: 'every' }, broker => requestIn(broker, valid)],
    ['token.issued', { BROKER_AUDIT: 'summary' }, broker => requestIn(broker, valid)],
    ['token.denied', {}, broker => requestIn(broker, valid, { ...usual, scope: 'https://other.example/.default' })],
    [
      'token.failed',
      {},
      broker => (emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' }), requestIn(broker, valid)),
    ],
    ['caller.refused', {}, broker => requestIn(broker, valid, usual, 'Bearer nonsense')],
    [
      'operation.denied',
      {},
      broker => send(`${broker.url}/health`, { headers: { authorization, traceparent: valid } }),
    ],
    [
      'tokens.purged',
      {},
      async broker => {
        const bearer = `Bearer ${await emulator.mintCallerToken({ sub: 'janitor' })}`
        const headers = { authorization: bearer, traceparent: valid }
        return send(`${broker.url}/tokens?all=true`, { method: 'DELETE', headers })
      },
    ],
  ]
  for (const [event, environment, act] of acts)
    test(`${event} ${Object.values(environment).join('')}`, async t => {
      const broker = await world.broker(t, { policy, environment })
      await act(broker)
      assert.deepEqual(
        broker.events(event).map(line => line['trace_id']),
        [traceId],
      )
    })

  test('caller.refused, repeated: that of the last request', async t => {
    const broker = await world.broker(t)
    const other = `00-${'a'.repeat(32)}-${parent}-00`
    for (const header of [other, other, valid]) await requestIn(broker, header, usual, 'Bearer nonsense')
    await broker.service.close()
    assert.deepEqual(
      broker.events('caller.refused').map(line => line['trace_id']),
      ['a'.repeat(32), traceId],
    )
  })
})
