import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { junk } from '../../../emulator/serve.ts'
import { graph, startWorld } from '../../support/broker.ts'
import { hostileAuthority } from './authority.ts'

const world = await startWorld()
const { emulator, clock } = world
const timeoutMs = 600
const environment = { BROKER_UPSTREAM_TIMEOUT_MS: String(timeoutMs) }

const unavailable = { status: 503, code: 'upstream_unavailable' }
const invalid = { status: 502, code: 'upstream_invalid' }

/**
 * One row for each kind of failure, for what only a broker as a whole shows: the body, what is not repeated, and that it
 * heals. Every fault with its status, code and Retry-After is in test/broker/cache-matrix*.
 */
type Row = readonly [fault: Fault, expected: typeof unavailable, retryAfter?: string]
const rows: readonly Row[] = [
  [{ kind: 'hung', at: 'token' }, unavailable, '1'],
  [{ kind: 'reset', at: 'token' }, unavailable, '1'],
  [{ kind: 'throttled', at: 'token', retryAfter: 20, httpDate: true }, unavailable, '20'],
  // Would make clients hammer.
  [{ kind: 'throttled', at: 'token', retryAfter: 0 }, unavailable, '1'],
  // A proxy's error page says nothing about Entra, but its status does.
  [{ kind: 'html', status: 502, at: 'token' }, unavailable, '1'],
  [{ kind: 'html', status: 200, at: 'token' }, invalid],
  [{ kind: 'huge-body', at: 'token' }, invalid],
  [{ kind: 'wrong-audience', at: 'token' }, invalid],
]
for (const [fault, expected, retryAfter] of rows)
  test(`Entra ${JSON.stringify(fault)} is ${expected.status} ${expected.code}, in time, and affects nothing else`, async t => {
    const broker = await world.broker(t, { environment })
    // The identity's token and the caller's keys are there already: what is measured is Entra.
    assert.equal((await broker.requestToken({ tenant: 'fabrikam', scope: graph })).status, 200)
    emulator.fault(fault)
    const began = performance.now()
    const { status, json, headers, text } = await broker.requestToken()
    assert.ok(performance.now() - began < timeoutMs + 2500, 'slower than the time-out')
    assert.deepEqual({ status, code: json['code'] }, expected)
    assert.equal(headers['retry-after'], retryAfter)
    assert.equal(json['retry_after'], retryAfter && Number(retryAfter))
    assert.ok(!text.includes('junk') && !text.includes(junk))
    emulator.clearFaults()
    // A failure is no longer cached after the longest Retry-After that counts.
    clock.advance(301)
    const healed = await broker.requestToken()
    assert.equal(healed.status, 200)
    assert.equal(healed.headers['cache-status'], 'token-broker; fwd=miss')
  })

test('callers who wait for the same hung exchange all get a response in time, and it was sent once', async t => {
  const broker = await world.broker(t, { environment })
  emulator.fault({ kind: 'hung', at: 'token' })
  const token = await emulator.mintCallerToken()
  const replies = await Promise.all([1, 2, 3, 4].map(() => broker.requestToken(undefined, { token })))
  assert.deepEqual(
    replies.map(({ status }) => status),
    [503, 503, 503, 503],
  )
  assert.equal(emulator.counts().maxConcurrentTokenRequests, 1)
})

const marker = 'text-of-the-upstream'
const says = (status: number, body: object | string, headers?: Record<string, string>) => ({
  status,
  ...(headers && { headers }),
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
const refusal = { error: 'invalid_client', error_description: `AADSTS700213: ${marker}`, error_codes: [700213] }
const loud = [
  ['an error description', says(401, refusal)],
  ['an error word that is a text', says(400, { error: `${marker} <b>`, error_codes: [1] })],
  ['a trace id that is a text', says(401, { ...refusal, error_description: '', trace_id: `${marker} <b>` })],
  ['a correlation id that is a text', says(401, { ...refusal, error_description: '', correlation_id: `${marker}!` })],
  ['codes that are texts', says(401, { error: 'invalid_client', error_codes: [marker, { x: marker }, 1e99, -1] })],
  ['a page with status 200', says(200, `<html>${marker}</html>`, { 'content-type': 'text/html' })],
  ['a page with status 502', says(502, `<html>${marker}</html>`, { 'content-type': 'text/html' })],
  ['a page with status 404', says(404, `<html>${marker}</html>`, { 'content-type': 'text/html' })],
  ['a server error with a description', says(503, { error: 'server_error', error_description: marker })],
  ['a Retry-After that is a text', says(429, '', { 'retry-after': marker })],
  ['an id in the headers that is a text', says(401, refusal, { 'x-ms-request-id': `${marker} <b>` })],
] as const
for (const [what, said] of loud)
  test(`upstream text is repeated neither in the response nor in the log: ${what}`, async t => {
    const authority = await hostileAuthority(t, ({ method }) => (method === 'POST' ? said : undefined))
    const broker = await world.broker(t, { environment: { BROKER_AUTHORITY: authority.url, LOG_LEVEL: 'trace' } })
    const { status, text, headers } = await broker.requestToken()
    assert.ok(status >= 400)
    assert.equal(broker.events('token.failed').length, 1)
    for (const output of [text, JSON.stringify(headers), broker.logText()]) assert.ok(!output.includes(marker), output)
  })
