import assert from 'node:assert/strict'
import { test } from 'node:test'
import { prepareResponse } from '../../../src/http/server/prepared-response.ts'
import { graph, startWorld } from '../../support/broker.ts'

// The response with a cached token is sent past Fastify's own `send`: it must not differ from any other.
const world = await startWorld()
const target = { tenant: 'contoso', scope: graph }

test('the response with a cached token has the headers of one with a fetched token, but for Cache-Status', async t => {
  const broker = await world.broker(t)
  const fetched = await broker.requestToken(target)
  const cached = await broker.requestToken(target)
  assert.match(String(cached.headers['cache-status']), /^token-broker; hit; ttl=\d+$/)
  const common = ({ headers }: typeof cached) => {
    assert.ok(Number.isFinite(Date.parse(String(headers.date))))
    return { ...headers, date: undefined, 'cache-status': undefined }
  }
  assert.deepEqual(common(cached), common(fetched))
  assert.equal(cached.headers['content-length'], String(Buffer.byteLength(cached.text)))
})

test('while the broker drains, a cached token is the last response on its connection', async t => {
  const broker = await world.broker(t)
  const authorization = `Bearer ${await world.emulator.mintCallerToken()}`
  const request = { method: 'POST', headers: { authorization, 'content-type': 'application/json' } }
  const send = () => fetch(`${broker.url}/tokens`, { ...request, body: JSON.stringify(target) })
  await (await send()).text()
  const kept = await send()
  assert.equal(kept.headers.get('connection'), 'keep-alive')
  await kept.text()
  broker.service.drain()
  const last = await send()
  assert.match(String(last.headers.get('cache-status')), /hit/)
  assert.equal(last.headers.get('connection'), 'close')
  assert.equal(last.status, 200)
})

test('a body with other than ASCII characters is not sent byte by character', () => {
  assert.equal(prepareResponse({}, '{"a":"é"}'), undefined)
  assert.deepEqual(prepareResponse({ pragma: 'no-cache' }, '{}'), {
    head: ['pragma', 'no-cache', 'content-length', '2'],
    body: '{}',
  })
})
