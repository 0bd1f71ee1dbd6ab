import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, startWorld, until } from '../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world

/** A line without its time and request id, which differ each time; only their form is checked. */
function stable({ time, request_id: id = 'none-0', ...rest }: Json = {}): Json {
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.ok(typeof id === 'string' && /^[\da-z]+-[\da-z]+$/.test(id))
  return rest
}
const caller = { kind: 'jwt', issuer: 'emulator', subject: 'sample-caller' }
const request = { endpoint: 'tokens', address: '127.0.0.1' }
const target = { tenant: sample.contoso, scope: graph, application: 'default' }
const policyVersion = /^[\da-f]{64}$/

test('each token issued is one line with the caller, the rule, the target and the cache result', async t => {
  const broker = await world.broker(t)
  const { json } = await broker.requestToken()
  await broker.requestToken()
  const [first, second] = broker.events('token.issued').map(stable)
  const { policy, upstream, ...rest } = first ?? {}
  assert.match(String(policy), policyVersion)
  assert.deepEqual(Object.keys(upstream as Json), ['trace_id', 'correlation_id'])
  assert.deepEqual(rest, {
    level: 'info',
    event: 'token.issued',
    outcome: 'issued',
    caller,
    rule: 'sample',
    ...target,
    token: createHash('sha256').update(String(json['access_token'])).digest('hex').slice(0, 32),
    ...request,
    cache: 'miss',
    msg: 'token issued',
  })
  assert.deepEqual(second, { ...first, cache: 'hit' })
})

const denials: readonly (readonly [what: string, tenant: string, reason: string])[] = [
  ['a target that no rule grants', sample.homeTenant, 'no_rule'],
  ['an unknown tenant', 'unknown', 'unknown_target'],
  ['a target that a denial names', 'fabrikam', 'denied'],
]
for (const [what, tenant, reason] of denials)
  test(`the denial of ${what} is one line with the request as written, and the reason that the response does not have`, async t => {
    const broker = await world.broker(t, { policy: { deny: [{ tenants: ['fabrikam'] }] } })
    const reply = await broker.requestToken({ tenant, scope: graph })
    const [line] = broker.events('token.denied')
    assert.equal(line?.['request_id'], reply.json['request_id'])
    const { policy, ...rest } = stable(line)
    assert.match(String(policy), policyVersion)
    assert.deepEqual(rest, {
      level: 'warn',
      event: 'token.denied',
      ...request,
      caller,
      ...target,
      tenant,
      outcome: 'not_permitted',
      reason,
      msg: 'token denied',
    })
    assert.ok(!reply.text.includes(reason))
  })

test('a failure is one line with the rule, the codes and ids of Entra, and the remedy', async t => {
  const broker = await world.broker(t)
  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  const reply = await broker.requestToken()
  const [line] = broker.events('token.failed')
  assert.equal(line?.['request_id'], reply.json['request_id'])
  const { policy, upstream, remedy, cause: _, ...rest } = stable(line)
  assert.match(String(policy), policyVersion)
  const { codes, ...ids } = upstream as Json
  assert.deepEqual(codes, [700213])
  assert.deepEqual(Object.keys(ids), ['trace_id', 'correlation_id'])
  assert.equal(remedy, reply.json['remedy'])
  assert.deepEqual(rest, {
    // It does not pass by itself: an operator must act.
    level: 'error',
    event: 'token.failed',
    ...request,
    caller,
    rule: 'sample',
    ...target,
    outcome: 'federation_misconfigured',
    reason: 'federation',
    msg: 'token failed',
  })
})

test('a failure that passes by itself is a warning', async t => {
  const broker = await world.broker(t)
  emulator.fault({ kind: 'throttled', at: 'token' })
  await broker.requestToken()
  const [line] = broker.events('token.failed')
  assert.deepEqual(
    [line?.['level'], line?.['outcome'], line?.['reason']],
    ['warn', 'upstream_unavailable', 'throttled'],
  )
})

const refusals: readonly (readonly [
  what: string,
  token: () => Promise<string | undefined>,
  outcome: string,
  reason: string,
])[] = [
  ['no credential', async () => undefined, 'unauthenticated', 'unauthenticated'],
  ['an expired token', () => emulator.mintCallerToken({}, { expiresIn: -60 }), 'invalid_token', 'expired'],
  ['a foreign key', () => emulator.mintCallerToken({}, { key: 'foreign' }), 'invalid_token', 'signature'],
  ['another audience', () => emulator.mintCallerToken({}, { audience: 'x' }), 'invalid_token', 'audience'],
  ['another issuer', () => emulator.mintCallerToken({}, { issuer: 'https://x' }), 'invalid_token', 'issuer'],
  ['nonsense', async () => 'nonsense', 'invalid_token', 'malformed'],
]
for (const [what, mint, outcome, reason] of refusals)
  test(`a caller with ${what} is one line with the reason, and what its token says is marked as unverified`, async t => {
    const broker = await world.broker(t)
    const token = await mint()
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    await broker.requestToken(undefined, { headers: { 'content-type': 'application/json', ...headers } })
    const lines = broker.events('caller.refused')
    assert.equal(lines.length, 1)
    const { policy, ...rest } = stable(lines[0])
    assert.match(String(policy), policyVersion)
    assert.deepEqual(rest, {
      level: 'warn',
      event: 'caller.refused',
      ...request,
      outcome,
      reason,
      ...(token !== undefined && decodeJws(token) && { unverified: unverifiedIn(token) }),
      msg: 'caller not authenticated',
    })
  })

function unverifiedIn(token: string): Json {
  const { header, payload } = decodeJws(token) ?? {}
  return { iss: payload?.['iss'], aud: [payload?.['aud']].flat(), kid: header?.['kid'] }
}

test('a failed refresh is an event of its own, because no caller was refused', async t => {
  const broker = await world.broker(t)
  await broker.requestToken()
  clock.advance(2700)
  emulator.fault({ kind: 'aadsts', code: 7000229, at: 'token' })
  await broker.requestToken()
  await until('the failed refresh', () => broker.events('token.refresh_failed').length > 0)
  const [line] = broker.events('token.refresh_failed')
  assert.deepEqual(
    [line?.['outcome'], line?.['rule'], line?.['tenant']],
    ['consent_required', 'sample', sample.contoso],
  )
  assert.equal(broker.events('token.failed').length, 0)
})

test('a malformed request is not logged, because no decision was made', async t => {
  const broker = await world.broker(t)
  await broker.requestToken('{')
  assert.deepEqual(
    broker.logLines().filter(line => 'event' in line),
    [],
  )
})

test('a subject cannot add a line, nor make a line long', async t => {
  const subject = `a\n{"event":"token.issued"}\u2028"\\${'x'.repeat(500)}`
  const rules = [
    { name: 'x', callers: [{ issuer: 'emulator', claims: { role: 'r' } }], tenants: ['contoso'], scopes: [graph] },
  ]
  const broker = await world.broker(t, { policy: { rules } })
  await broker.requestToken(undefined, { token: await emulator.mintCallerToken({ sub: subject, role: 'r' }) })
  assert.equal(broker.logText().trimEnd().split('\n').length, broker.logLines().length)
  const [line] = broker.events('token.issued')
  assert.partialDeepStrictEqual(line, { caller: { subject: subject.slice(0, 256) } })
})

for (const level of ['error', 'fatal'])
  test(`the audit log does not depend on LOG_LEVEL=${level}`, async t => {
    const broker = await world.broker(t, { environment: { LOG_LEVEL: level } })
    await broker.requestToken()
    await broker.requestToken({ tenant: 'unknown', scope: graph })
    assert.deepEqual(
      broker.logLines().map(line => line['event']),
      ['token.issued', 'token.denied'],
    )
  })
