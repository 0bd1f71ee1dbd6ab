import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError, type ErrorParts } from '../../../../src/errors.ts'
import { seal, kinds } from '../../../../src/outbound/redis/sealing/envelope.ts'
import { createSealer } from '../../../../src/outbound/redis/sealing/sealed-token.ts'
import { cacheKeyLine, ringOf } from '../../../support/cache-keys.ts'

const ring = ringOf(cacheKeyLine('one'))
const sealer = createSealer(() => ring)
const target = { key: 'client tenant scope' }
const lease = 'lease-1'
const parts = {
  reason: 'consent',
  level: 'tenant',
  remedy: 'Open https://login.example/consent',
  upstream: { error: 'invalid_client', codes: [7000222], traceId: 'a-b', correlationId: 'c-d' },
  presented: { issuer: 'https://login.example/v2.0', subject: 'principal', audience: 'api://AzureADTokenExchange' },
} as const satisfies ErrorParts
const failure = new BrokerError('consent_required', 'The tenant has no consent.', parts)

function sealed(error: BrokerError): Buffer {
  const value = sealer.sealFailure(target, lease, error)
  assert.ok(value)
  return value
}

/** What a replica with the key sealed for the lease. */
function valueOf(content: unknown): Buffer {
  const value = seal(ring, kinds.failure, `${target.key}\n${lease}`, JSON.stringify(content))
  assert.ok(value)
  return value
}

test('a failure is shared with all that other replicas need to report and cache it', () => {
  const opened = sealer.openFailure(target, lease, sealed(failure))
  assert.equal(opened?.code, 'consent_required')
  assert.equal(opened.message, failure.message)
  assert.deepEqual(opened.parts, parts)
  assert.deepEqual(opened.handling, failure.handling)
})

for (const [what, error, expected] of [
  ['retryAfter', new BrokerError('upstream_unavailable', 'x', { reason: 'throttled', retryAfter: 7 }), 7],
  ['a retryAfter of more than 300 s', new BrokerError('upstream_unavailable', 'x', { retryAfter: 86_400 }), 300],
  ['no retryAfter', new BrokerError('upstream_unavailable', 'x'), undefined],
] as const)
  test(`${what}: ${expected ?? 'none'}`, () => {
    assert.equal(sealer.openFailure(target, lease, sealed(error))?.parts.retryAfter, expected)
  })

test('the cause is not shared: it can contain a request with its assertion', () => {
  const error = new BrokerError('upstream_unavailable', 'x', { reason: 'network', cause: new Error('assertion') })
  const opened = sealer.openFailure(target, lease, sealed(error))
  assert.deepEqual(opened?.parts, { reason: 'network' })
  assert.equal(opened.cause, undefined)
})

test('long texts are cut, and long lists too', () => {
  const codes = Array.from({ length: 100 }, (_, nth) => nth)
  const long = new BrokerError('upstream_rejected', 'd'.repeat(5000), { remedy: 'r'.repeat(5000), upstream: { codes } })
  const value = sealed(long)
  assert.ok(value.length < 4096)
  const opened = sealer.openFailure(target, lease, value)
  assert.deepEqual(
    [opened?.message.length, opened?.parts.remedy?.length, opened?.parts.upstream?.codes?.length],
    [1000, 1000, 8],
  )
})

describe('a failure opens for its target and its lease only', () => {
  const value = sealed(failure)
  const rows: readonly (readonly [what: string, key: string, leaseId: string])[] = [
    ['another lease of the same key: an older failure', target.key, 'lease-2'],
    ['another key with the same lease', 'client tenant2 scope', lease],
    ['key and lease divided elsewhere', `${target.key}\nlease`, '1'],
  ]
  for (const [what, key, leaseId] of rows)
    test(what, () => {
      assert.equal(sealer.openFailure({ key }, leaseId, value), undefined)
    })

  test('neither as a token, nor a token as a failure', () => {
    assert.equal(sealer.open({ key: `${target.key}\n${lease}` }, value), undefined)
    const record = { token: 't', issuedAt: 1, expiresIn: 1, refreshAt: 1 }
    const token = sealer.seal({ key: `${target.key}\n${lease}` }, record, { epoch: '', sequence: 0 })
    assert.ok(token)
    assert.equal(sealer.openFailure(target, lease, token), undefined)
  })
})

describe('a failure that this version cannot handle is unreadable', () => {
  const fields = { code: 'consent_required', detail: 'x', reason: 'consent' }
  const rows: readonly (readonly [what: string, content: unknown])[] = [
    ['no object', 5],
    ['a code of another version', { ...fields, code: 'new_code' }],
    ['a name that every object has', { code: 'constructor', detail: 'x' }],
    ['such a name as reason', { ...fields, reason: 'constructor' }],
    ['a reason of another code', { ...fields, reason: 'federation' }],
    ['a reason that is no text', { ...fields, reason: ['consent'] }],
    ['no detail', { ...fields, detail: undefined }],
    ['a detail of 1001 characters', { ...fields, detail: 'd'.repeat(1001) }],
    ['an unknown level', { ...fields, level: 'world' }],
  ]
  for (const [what, content] of rows)
    test(what, () => {
      assert.equal(sealer.openFailure(target, lease, valueOf(content)), undefined)
    })

  test('the fields as they are: readable', () => {
    assert.equal(sealer.openFailure(target, lease, valueOf(fields))?.reason, 'consent')
    const { upstream } =
      sealer.openFailure(
        target,
        lease,
        valueOf({ ...fields, upstream: { error: 'A b', codes: ['1', 2], traceId: '<x>' } }),
      )?.parts ?? {}
    assert.deepEqual(upstream, { codes: [2] }, 'only fields in the form of Entra are repeated')
  })
})
