import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, startWorld, until } from '../../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const timeoutMs = 500
const day = 86_400

// One broker for the file: MSAL keeps the network client of the first for the life of the process.
const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
// The issuer of callers shares a port with the identity endpoint, so its keys must not need the network.
const jwksFile = join(folder, 'jwks.json')
await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
const broker = await world.broker(
  { after },
  {
    environment: { BROKER_UPSTREAM_TIMEOUT_MS: String(timeoutMs) },
    policy: { issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'], jwksFile } } },
  },
)
const fabrikam = { tenant: 'fabrikam', scope: graph }

/** Every test begins with an identity token that is new; until it is a day old. */
async function freshIdentity(): Promise<void> {
  emulator.clearFaults()
  clock.advance(2 * day)
  emulator.renewIdentityToken()
  assert.equal((await broker.requestToken()).status, 200)
  emulator.resetCounts()
}

const rows: readonly Omit<Fault, 'at'>[] = [
  { kind: 'refused' },
  { kind: 'hung' },
  { kind: 'stalled-body' },
  { kind: 'reset' },
  { kind: 'server-error', status: 500 },
  { kind: 'server-error', status: 503, empty: true },
  { kind: 'throttled' },
  { kind: 'html', status: 200 },
  { kind: 'html', status: 502 },
  { kind: 'broken-json' },
  { kind: 'huge-body' },
  { kind: 'redirect' },
  { kind: 'no-expiry' },
  { kind: 'expired' },
  { kind: 'endless' },
  { kind: 'no-text' },
  { kind: 'line-break' },
]
/** A response that cannot be used has another reason than a clock that is wrong. */
const reasons: Readonly<Partial<Record<Fault['kind'], string>>> = {
  'no-expiry': 'unusable',
  expired: 'expired',
  endless: 'unusable',
  'no-text': 'unusable',
  'line-break': 'unusable',
}
for (const fault of rows)
  test(`an identity endpoint with ${JSON.stringify(fault)} is 503 identity_unavailable, in time, and recovers`, async () => {
    await freshIdentity()
    emulator.renewIdentityToken()
    emulator.fault({ ...fault, at: 'identity' })
    clock.advance(day)
    const began = performance.now()
    const { status, json, headers, text } = await broker.requestToken()
    assert.ok(performance.now() - began < timeoutMs + 1000, 'slower than the time-out')
    assert.deepEqual([status, json['code']], [503, 'identity_unavailable'])
    assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    if (reasons[fault.kind]) assert.equal(broker.events('token.failed').at(-1)?.['reason'], reasons[fault.kind])
    assert.ok(!text.includes('junk'))
    assert.equal(emulator.counts().redirectsFollowed, 0)
    assert.equal(emulator.counts().endpoints.token.total, 0)
    emulator.clearFaults()
    clock.advance(301)
    assert.equal((await broker.requestToken()).status, 200)
  })

test('an identity that is not assigned to the app has a remedy', async t => {
  await freshIdentity()
  t.after(() => emulator.setIdentity({ clientId: sample.identity.clientId }))
  emulator.setIdentity({ clientId: '20000000-0000-4000-8000-0000000000ff' })
  clock.advance(day)
  const { status, json, headers } = await broker.requestToken()
  assert.deepEqual([status, json['code']], [503, 'identity_unavailable'])
  assert.match(String(json['remedy']), new RegExp(`${sample.identity.clientId}.*BROKER_IDENTITY_CLIENT_ID`))
  assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
})

const refusals: readonly [status: number, reason: string, remedy: RegExp][] = [
  [400, 'refused', /^Assign the user-assigned managed identity .* correct BROKER_IDENTITY_AUDIENCE \(api:/],
  [401, 'identity_header', /^The platform sets IDENTITY_ENDPOINT and IDENTITY_HEADER .* restart the replica\.$/],
  [403, 'identity_header', /^The platform sets/],
  [404, 'identity_endpoint', /^The platform sets .* at this URL nothing issues tokens\.$/],
  [405, 'identity_endpoint', /^The platform sets/],
  [410, 'identity_endpoint', /^The platform sets/],
]
for (const [status, reason, remedy] of refusals)
  test(`an identity endpoint that responds ${status} has the reason ${reason}, and a remedy that ends it`, async () => {
    await freshIdentity()
    emulator.fault({ kind: 'client-error', status, at: 'identity' })
    clock.advance(day)
    const { status: own, json } = await broker.requestToken()
    assert.deepEqual([own, json['code']], [503, 'identity_unavailable'])
    assert.match(String(json['detail']), new RegExp(`HTTP ${status}`))
    assert.match(String(json['remedy']), remedy)
    if (reason !== 'refused') assert.doesNotMatch(String(json['remedy']), /assign/i, 'it is assigned')
    assert.equal(broker.events('token.failed').at(-1)?.['reason'], reason)
  })

for (const kind of ['refused', 'hung', 'server-error', 'throttled'] as const)
  test(`while the identity's token is valid, exchanges go on while its endpoint fails (${kind})`, async () => {
    await freshIdentity()
    emulator.fault({ kind, at: 'identity' })
    const fresh = await broker.requestToken(fabrikam)
    assert.equal(fresh.status, 200)
    assert.match(String(fresh.headers['cache-status']), /; fwd=/)
    assert.equal(emulator.counts().endpoints.identity.total, 0)
  })

test("the identity's token is replaced in the background once it is due, at 75 % of its life", async () => {
  await freshIdentity()
  clock.advance(0.74 * day)
  assert.equal((await broker.requestToken()).status, 200)
  assert.equal(emulator.counts().endpoints.identity.total, 0)
  emulator.renewIdentityToken()
  emulator.configure({ latency: { identity: 100 } })
  clock.advance(0.02 * day)
  // No caller waits for it: this exchange still uses the old one.
  assert.equal((await broker.requestToken(fabrikam)).status, 200)
  await until('the refresh', () => emulator.counts().endpoints.identity.outcomes['issued'] === 1)
  emulator.configure({ latency: {} })
  clock.advance(0.3 * day)
  assert.equal((await broker.requestToken()).status, 200)
  assert.equal(emulator.counts().endpoints.identity.total, 1)
})

test('a refresh that fails does not disturb exchanges, and is tried again later', async () => {
  await freshIdentity()
  emulator.fault({ kind: 'server-error', at: 'identity' })
  clock.advance(0.8 * day)
  assert.equal((await broker.requestToken()).status, 200)
  await until('the failed refresh', () => emulator.counts().endpoints.identity.total === 1)
  emulator.clearFaults()
  emulator.renewIdentityToken()
  clock.advance(301)
  assert.equal((await broker.requestToken(fabrikam)).status, 200)
  await until('the refresh', () => emulator.counts().endpoints.identity.outcomes['issued'] === 1)
})

test('many cold callers at once cause one request to the identity endpoint', async () => {
  await freshIdentity()
  clock.advance(day)
  emulator.configure({ latency: { identity: 50 } })
  const token = await emulator.mintCallerToken({}, { expiresIn: day })
  const replies = ['contoso', 'fabrikam', 'tailspin'].map(tenant =>
    broker.requestToken({ tenant, scope: graph }, { token }),
  )
  await Promise.all(replies)
  emulator.configure({ latency: {} })
  assert.equal(emulator.counts().endpoints.identity.total, 1)
})
