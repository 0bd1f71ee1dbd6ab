import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { type Fault, parseFault } from '../../emulator/faults.ts'
import { sample } from '../../emulator/options.ts'
import { until } from '../support/broker.ts'
import { send, requestIdentityToken, requestToken, claims, emulate, object } from './client.ts'

test('each fault without a response is visible to the client and ends after its time', async t => {
  const emulator = await emulate(t)
  const silent = [
    // These do not respond: they end when the client's time limit is over.
    ['hung', /timed out/, 500],
    ['stalled-body', /timed out|aborted/, 500],
    ['reset', /ECONNRESET/, undefined],
    ['huge-body', /too long/, undefined],
  ] as const
  for (const [kind, seen, patienceMs] of silent) {
    emulator.fault({ kind, at: 'token', times: 1 })
    await assert.rejects(requestToken(emulator, patienceMs), seen, kind)
    // A client that closes before its request was read has not reached the fault.
    await until('that the fault has struck', () => emulator.counts().endpoints.token.outcomes[kind] === 1)
    assert.equal((await requestToken(emulator)).status, 200, `after ${kind}`)
  }
})

test('a refused server closes its port until the fault is cleared', async t => {
  const emulator = await emulate(t)
  await requestToken(emulator)
  emulator.fault({ kind: 'refused', at: 'token' })
  await assert.rejects(requestToken(emulator), /ECONNREFUSED/)
  emulator.clearFaults()
  emulator.fault({ kind: 'refused', at: 'identity' })
  assert.equal((await requestToken(emulator)).status, 200)
  await assert.rejects(requestIdentityToken(emulator), /ECONNREFUSED/)
  emulator.clearFaults()
  assert.equal((await requestIdentityToken(emulator)).status, 200)
})

interface Row extends Omit<Fault, 'at'> {
  readonly sees: (reply: { status: number; headers: Record<string, unknown>; text: string }) => void
}
const rows: readonly Row[] = [
  { kind: 'throttled', sees: r => assert.deepEqual([r.status, r.headers['retry-after']], [429, '5']) },
  { kind: 'throttled', retryAfter: 7, sees: r => assert.equal(r.headers['retry-after'], '7') },
  { kind: 'throttled', retryAfter: 'none', sees: r => assert.ok(!('retry-after' in r.headers)) },
  { kind: 'throttled', httpDate: true, sees: r => assert.match(String(r.headers['retry-after']), / GMT$/) },
  { kind: 'server-error', sees: r => assert.deepEqual([r.status, object(r.text)['error_codes']], [503, [90033]]) },
  { kind: 'server-error', status: 500, empty: true, sees: r => assert.deepEqual([r.status, r.text], [500, '']) },
  { kind: 'server-error', status: 504, retryAfter: 1, sees: r => assert.equal(r.headers['retry-after'], '1') },
  { kind: 'html', sees: r => assert.ok(r.status === 502 && r.text.includes('junk-from-a-proxy')) },
  { kind: 'html', status: 200, sees: r => assert.equal(r.status, 200) },
  { kind: 'broken-json', sees: r => assert.throws(() => object(r.text), SyntaxError) },
  { kind: 'redirect', sees: r => assert.deepEqual([r.status, typeof r.headers['location']], [307, 'string']) },
  {
    kind: 'aadsts',
    code: 53003,
    sees: r => assert.deepEqual([r.status, object(r.text)['error_codes']], [400, [53003]]),
  },
  {
    kind: 'aadsts',
    code: 4242,
    status: 401,
    error: 'x',
    sees: r => assert.deepEqual([r.status, object(r.text)['error']], [401, 'x']),
  },
  { kind: 'wrong-tenant', sees: r => assert.notEqual(claims(object(r.text)['access_token'])['tid'], sample.contoso) },
  {
    kind: 'wrong-application',
    sees: r => assert.notEqual(claims(object(r.text)['access_token'])['appid'], sample.application),
  },
  { kind: 'wrong-audience', sees: r => assert.match(String(claims(object(r.text)['access_token'])['aud']), /wrong/) },
  { kind: 'no-expiry', sees: r => assert.ok(r.status === 200 && !('expires_in' in object(r.text))) },
  { kind: 'expired', sees: r => assert.equal(object(r.text)['expires_in'], 0) },
  { kind: 'endless', sees: r => assert.equal(object(r.text)['expires_in'], 1e300) },
  { kind: 'no-text', sees: r => assert.equal(typeof object(r.text)['access_token'], 'number') },
  { kind: 'line-break', sees: r => assert.match(String(object(r.text)['access_token']), /\r\n/) },
  { kind: 'wrong-type', sees: r => assert.equal(object(r.text)['token_type'], 'MAC') },
  { kind: 'delegated', sees: r => assert.ok('scp' in claims(object(r.text)['access_token'])) },
]
for (const { sees, ...fault } of rows)
  test(`the token endpoint with the fault ${JSON.stringify(fault)}`, async t => {
    const emulator = await emulate(t)
    emulator.fault({ ...fault, at: 'token' })
    sees(await requestToken(emulator))
    assert.equal(emulator.counts().tenants[sample.contoso]?.outcomes[fault.kind], 1)
  })

test('the other endpoints fail in their own formats', async t => {
  const emulator = await emulate(t)
  const discovery = `${emulator.entraUrl}/${sample.contoso}/v2.0/.well-known/openid-configuration`
  for (const at of ['identity', 'discovery', 'callers'] as const) emulator.fault({ kind: 'throttled', at, times: 1 })
  assert.equal(object((await requestIdentityToken(emulator)).text)['statusCode'], 429)
  assert.deepEqual(object((await send(discovery, { ca: emulator.caPem })).text)['error_codes'], [90055])
  assert.equal((await send(`${emulator.callerIssuer}/jwks`)).status, 429)
  emulator.fault({ kind: 'no-expiry', at: 'identity', times: 1 })
  assert.ok(!('expires_on' in object((await requestIdentityToken(emulator)).text)))
  emulator.fault({ kind: 'endless', at: 'identity', times: 1 })
  assert.equal(object((await requestIdentityToken(emulator)).text)['expires_on'], 1e300)
  emulator.fault({ kind: 'line-break', at: 'identity', times: 1 })
  assert.match(String(object((await requestIdentityToken(emulator)).text)['access_token']), /\r\n/)
  emulator.fault({ kind: 'expired', at: 'identity', times: 1 })
  assert.ok(Number(object((await requestIdentityToken(emulator)).text)['expires_on']) * 1000 < Date.now())
  emulator.fault({ kind: 'wrong-audience', at: 'identity', times: 1 })
  assert.match(String(claims(object((await requestIdentityToken(emulator)).text)['access_token'])['aud']), /wrong/)
})

test('a fault applies to its tenant only, and a followed redirect is counted', async t => {
  const emulator = await emulate(t)
  emulator.fault({ kind: 'redirect', at: 'token', tenant: sample.fabrikam })
  assert.equal((await requestToken(emulator)).status, 200)
  emulator.fault({ kind: 'redirect', at: 'token', tenant: sample.contoso.toUpperCase() })
  const { headers } = await requestToken(emulator)
  await send(String(headers.location), { ca: emulator.caPem })
  assert.equal(emulator.counts().redirectsFollowed, 1)
})

const invalid: readonly unknown[] = [
  null,
  {},
  { kind: 'unknown', at: 'token' },
  { kind: 'hung', at: 'nowhere' },
  { kind: 'hung', at: 'token', times: 0 },
  { kind: 'hung', at: 'token', surprise: 1 },
  { kind: 'hung', at: 'identity', tenant: sample.contoso },
  { kind: 'refused', at: 'token', times: 1 },
  { kind: 'aadsts', at: 'token' },
  { kind: 'aadsts', at: 'callers', code: 1 },
  { kind: 'expired', at: 'callers' },
  { kind: 'html', at: 'token', status: 404 },
  { kind: 'server-error', at: 'token', status: 501 },
]
for (const value of invalid)
  test(`${JSON.stringify(value)} is refused as a fault`, () => {
    assert.throws(() => parseFault(value), TypeError)
  })

test('latency delays responses, and the largest number of concurrent token requests is counted', async t => {
  const emulator = await emulate(t)
  emulator.configure({ latency: { token: 300 } })
  const started = performance.now()
  await Promise.all([requestToken(emulator), requestToken(emulator), requestToken(emulator)])
  assert.ok(performance.now() - started >= 299)
  assert.equal(emulator.counts().maxConcurrentTokenRequests, 3)
})

test("clockAhead moves the clock of Entra's token endpoint: its Date, and the times in tokens", async t => {
  const emulator = await emulate(t)
  emulator.configure({ clockAhead: 3600 })
  const { headers, text } = await requestToken(emulator)
  assert.ok(Date.parse(String(headers['date'])) - Date.now() > 3_500_000)
  assert.ok(Number(claims(object(text)['access_token'])['iat']) - Date.now() / 1000 > 3500)
})

test('close() does not wait for hung requests, silent connections or refused servers', async () => {
  const emulator = await startEmulator()
  emulator.fault({ kind: 'hung', at: 'token' })
  const hung = assert.rejects(requestToken(emulator))
  const silent = connect(Number(new URL(emulator.entraUrl).port), '127.0.0.1').on('error', () => undefined)
  await once(silent, 'connect')
  const gone = once(silent, 'close')
  emulator.fault({ kind: 'refused', at: 'callers' })
  const started = performance.now()
  await emulator.close()
  assert.ok(performance.now() - started < 5000)
  await Promise.all([hung, gone])
  await emulator.close()
})

test('close() immediately after a refused server starts to listen again leaves nothing open', async () => {
  const emulator = await startEmulator()
  emulator.fault({ kind: 'refused', at: 'token' })
  emulator.clearFaults()
  await emulator.close()
  await assert.rejects(requestToken(emulator), /ECONNREFUSED/)
})
