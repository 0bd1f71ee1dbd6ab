import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../src/errors.ts'
import { callerFields } from '../../src/telemetry/audit-fields.ts'
import { createAudit } from '../../src/telemetry/audit.ts'
import { createLogs } from '../../src/telemetry/log.ts'
import { tokenRequest, grantFor, graph } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'

/** An audit log with its lines. */
function setUp() {
  const clock = movableClock()
  const lines: Json[] = []
  const sink = { write: (line: string) => void lines.push(JSON.parse(line) as Json), flush: () => undefined }
  const options = { mode: 'every', now: clock.now, policyVersion: () => 'abc' } as const
  const audit = createAudit(createLogs('info', sink, []), sink, options)
  /** One failure for each of many tenants. */
  const fail = (tenants: number, error: BrokerError, application = 'default') => {
    for (let n = 0; n < tenants; n++) audit.refreshed(grantFor({ tenant: tenant(n), application }), 'failed', error)
  }
  return { clock, lines, audit, fail }
}
const tenant = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const failure = <Code extends ErrorCode>(code: Code, reason: ReasonOf<Code>) =>
  new BrokerError<ErrorCode>(code, 'no', { reason })
const timeout = failure('upstream_unavailable', 'timeout')
const summaryOf = (lines: readonly Json[]) =>
  lines.map(line => [line['application'], line['reason'], line['suppressed']])

describe('refreshes that fail', () => {
  test('of a thousand keys are one line, for the first key', () => {
    const { lines, fail } = setUp()
    fail(1000, timeout)
    assert.equal(lines.length, 1)
    assert.partialDeepStrictEqual(lines[0], {
      level: 'warn',
      event: 'token.refresh_failed',
      tenant: tenant(0),
      scope: graph,
      outcome: 'upstream_unavailable',
      reason: 'timeout',
      msg: 'token refresh failed; the cached token is still served',
    })
    assert.ok(!('suppressed' in (lines[0] ?? {})))
  })

  test('that continue are one line a minute, with the number of suppressed lines', () => {
    const { lines, fail, clock } = setUp()
    fail(1000, timeout)
    clock.advance(59_999)
    fail(500, timeout)
    clock.advance(1)
    fail(3, timeout)
    clock.advance(60_000)
    fail(1, timeout)
    assert.deepEqual(
      lines.map(line => line['suppressed']),
      [undefined, 999 + 500, 2],
    )
  })

  test('of another application, with another code or reason are lines of their own', () => {
    const { lines, fail } = setUp()
    fail(2, timeout)
    fail(2, timeout, 'other')
    fail(2, failure('upstream_unavailable', 'network'))
    fail(2, failure('identity_unavailable', 'timeout'))
    assert.deepEqual(summaryOf(lines), [
      ['default', 'timeout', undefined],
      ['other', 'timeout', undefined],
      ['default', 'network', undefined],
      ['default', 'timeout', undefined],
    ])
  })

  test('refreshes that succeed are no line, and do not reset the minute', () => {
    const { lines, audit, fail } = setUp()
    audit.refreshed(grantFor(), 'replaced')
    audit.refreshed(grantFor(), 'not_yet')
    assert.deepEqual(lines, [])
    fail(1, timeout)
    audit.refreshed(grantFor(), 'replaced')
    fail(1, timeout)
    assert.equal(lines.length, 1)
  })
})

test('every request that fails is logged, even if the failures are the same', () => {
  const { lines, audit } = setUp()
  const grant = grantFor()
  const request = { requestId: 'a-1', endpoint: 'tokens', address: '127.0.0.1' }
  for (let n = 0; n < 10; n++) audit.refused(request, grant.caller, tokenRequest(), timeout, grant)
  assert.equal(lines.filter(line => line['event'] === 'token.failed').length, 10)
})

describe('a purge is one line with the caller, the filter and the number of tokens removed', () => {
  const { caller } = grantFor()
  const request = { requestId: 'a-1', endpoint: 'purge', address: '127.0.0.1' }
  const always = {
    level: 'warn',
    event: 'tokens.purged',
    request_id: 'a-1',
    endpoint: 'purge',
    address: '127.0.0.1',
    caller: callerFields(caller, line => line),
    policy: caller.policy.version,
    msg: 'tokens purged',
  }

  test('with each part of the filter', () => {
    const { lines, audit } = setUp()
    audit.purged(request, caller, { clientId: 'c', tenant: tenant(1), scope: graph }, 12)
    const [{ time: _, ...line } = {}] = lines
    assert.deepEqual(line, { ...always, client_id: 'c', tenant: tenant(1), scope: graph, dropped: 12 })
  })

  test('with the number of replicas that it reached, if there is a second level', () => {
    const { lines, audit } = setUp()
    audit.purged(request, caller, {}, 3, { live: 4, confirmed: 2 })
    audit.purged(request, caller, {}, 3, { live: undefined, confirmed: 1 })
    const [{ time: _some, ...some } = {}, { time: _unknown, ...unknown } = {}] = lines
    assert.deepEqual(some, { ...always, dropped: 3, confirmed: 2, live: 4 })
    assert.deepEqual(unknown, { ...always, dropped: 3, confirmed: 1 })
  })

  test('even if it removed nothing; without a filter, everything was purged', () => {
    const { lines, audit } = setUp()
    audit.purged(request, caller, {}, 0)
    audit.purged(request, caller, {}, 0)
    for (const { time: _, ...line } of lines) assert.deepEqual(line, { ...always, dropped: 0 })
    assert.equal(lines.length, 2)
  })
})
