import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { Leaks } from '../../e2e/leaks.ts'
import { hostileAuthority } from '../../outbound/entra/authority.ts'
import { graph, startWorld, type TestBroker, until } from '../../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const contoso = { tenant: 'contoso', scope: graph }
const environment = { BROKER_UPSTREAM_TIMEOUT_MS: '300', LOG_LEVEL: 'trace' }

/** The identity's token as Entra receives it: the emulator shows it to no test, so an authority of the test's own records it. */
async function learnAssertion(t: TestContext, leaks: Leaks): Promise<void> {
  const authority = await hostileAuthority(t, ({ method }) =>
    method === 'POST' ? { status: 400, body: '' } : undefined,
  )
  const broker = await world.broker(t, { environment: { BROKER_AUTHORITY: authority.url } })
  await broker.requestToken()
  const assertion = new URLSearchParams(authority.received.at(-1)?.body).get('client_assertion')
  assert.ok(assertion)
  leaks.secret('the assertion', assertion)
}

/** Everything that the operations endpoints and the log show now. */
async function look(when: string, broker: TestBroker, leaks: Leaks): Promise<void> {
  const token = await emulator.mintCallerToken({ sub: 'dashboard' })
  const stranger = await emulator.mintCallerToken({ sub: 'stranger' })
  leaks.secret("an observer's token", token)
  leaks.secret("a stranger's token", stranger)
  const foreign = await emulator.mintCallerToken({ sub: 'dashboard' }, { key: 'foreign' })
  leaks.secret('a forged token', foreign)
  for (const path of [
    '/health',
    '/metrics',
    '/cache',
    '/cache/entries',
    '/cache/failures',
    '/decisions',
    '/livez',
    '/readyz',
    '/dashboard',
    '/docs',
    '/openapi.json',
  ]) {
    for (const credential of [token, stranger, foreign])
      leaks.response(`${path} ${when}`, await broker.get(path, { token: credential }))
  }
  for (const query of [`tenant=${token}`, `cursor=${token}`, `limit=${token}`, `access_token=${token}`, `x=${token}`]) {
    for (const path of ['/cache/entries', '/cache/failures', '/decisions']) {
      const reply = await broker.get(`${path}?${query}`, { token })
      assert.equal(reply.status, 400)
      leaks.response(`a bad query ${when}`, reply)
    }
  }
  leaks.output(`the log ${when}`, broker.logText())
}

async function requestToken(broker: TestBroker, leaks: Leaks, tenant = 'contoso'): Promise<void> {
  const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
  leaks.secret("a caller's token", token)
  leaks.response('POST /tokens', await broker.requestToken({ ...contoso, tenant }, { token }))
}

test('no token, assertion or key is in any response about a token: fresh, due, failing, at risk, expired, opaque', async t => {
  const leaks = new Leaks()
  await learnAssertion(t, leaks)
  leaks.secret('IDENTITY_HEADER', emulator.identityHeader)
  const broker = await world.broker(t, { environment })
  await broker.service.warmUp()
  await look('at the start', broker, leaks)
  await requestToken(broker, leaks)
  await look('with a fresh token', broker, leaks)
  clock.advance(2700)
  await look('with a due token', broker, leaks)
  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  await requestToken(broker, leaks)
  await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
  await requestToken(broker, leaks)
  await requestToken(broker, leaks, 'fabrikam')
  await look('with a token at risk', broker, leaks)
  clock.advance(900)
  await look('with an expired token', broker, leaks)
  emulator.clearFaults()
  emulator.configure({ opaqueTokens: true })
  await requestToken(broker, leaks)
  await look('with an opaque token', broker, leaks)
  assert.deepEqual(leaks.found(), [])
})

const faults: readonly Fault[] = [
  ...(['token', 'identity', 'callers'] as const).flatMap(at =>
    (['hung', 'server-error', 'html', 'broken-json', 'redirect', 'huge-body'] as const).map(kind => ({ kind, at })),
  ),
  ...(['wrong-tenant', 'no-expiry'] as const).map(kind => ({ kind, at: 'token' as const })),
  ...[700213, 700024, 7000229, 90002, 4242].map(code => ({ kind: 'aadsts' as const, at: 'token' as const, code })),
  { kind: 'refused', at: 'token' },
]

test('no token, assertion or key is in any response about an upstream, whatever fails there', async t => {
  const leaks = new Leaks()
  await learnAssertion(t, leaks)
  leaks.secret('IDENTITY_HEADER', emulator.identityHeader)
  for (const fault of faults) {
    const broker = await world.broker(t, { environment })
    // Its keys are fetched before the fault, so that an observer is authenticated.
    await broker.get('/health')
    emulator.fault(fault)
    clock.advance(301)
    await requestToken(broker, leaks)
    await look(`after ${JSON.stringify(fault)}`, broker, leaks)
  }
  assert.deepEqual(leaks.found(), [])
})

test('the search would find a token in these responses', async t => {
  const broker = await world.broker(t)
  const leaks = new Leaks()
  await requestToken(broker, leaks)
  const { json } = await broker.get('/cache/entries')
  const [entry] = json['entries'] as { token: string }[]
  leaks.secret('the fingerprint, as if it were one', String(entry?.token))
  await look('now', broker, leaks)
  assert.ok(leaks.found().some(found => found.includes('/cache/entries now')))
})
