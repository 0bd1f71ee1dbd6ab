import assert from 'node:assert/strict'
import { after } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { reportRow, type Row, startMatrix, strike } from './world.ts'

/**
 * Everything that can go wrong at Entra's token endpoint, for a key that is cold, due or expired, and for one caller or
 * several at once: what they get, after how long, and how many requests Entra gets.
 */
const matrix = await startMatrix()
const broker = await matrix.start({ after })

const unavailable = { status: 503, code: 'upstream_unavailable', retryAfter: 1, calls: 1 }
/** The time-out is cached for 5 s, and half of the jitter. */
const hung = { waits: 1, laterRetryAfter: 8 }
const invalid = { status: 502, code: 'upstream_invalid', calls: 1 }
const federation = { status: 502, code: 'federation_misconfigured', calls: 1 }
const consent = { status: 403, code: 'consent_required', calls: 1 }
const rejected = { status: 422, code: 'upstream_rejected', calls: 1 }

const token = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'token', ...rest })
const aadsts = (code: number): Fault => token('aadsts', { code })

const rows: readonly Row[] = [
  // No connection: three attempts in all, if there is time for them.
  { fault: token('refused'), ...unavailable, calls: 0, attempts: 3 },
  { fault: token('reset'), ...unavailable, calls: 3, attempts: 3 },
  // No response: every caller gets the error after the timeout.
  { fault: token('hung'), ...unavailable, ...hung },
  { fault: token('stalled-body'), ...unavailable, ...hung },
  // A temporary failure is retried. But a pause of a second does not fit into the time: then it is returned at once.
  { fault: token('throttled'), ...unavailable, retryAfter: 5 },
  { fault: token('throttled', { httpDate: true, retryAfter: 9 }), ...unavailable, retryAfter: 9 },
  { fault: token('throttled', { retryAfter: 'none' }), ...unavailable },
  { fault: token('throttled', { retryAfter: 86_400 }), ...unavailable, retryAfter: 300 },
  { fault: token('server-error', { status: 500 }), ...unavailable, calls: 3, attempts: 3 },
  { fault: token('server-error', { status: 502 }), ...unavailable, calls: 3, attempts: 3 },
  { fault: token('server-error', { status: 503, retryAfter: 7 }), ...unavailable, retryAfter: 7 },
  { fault: token('server-error', { status: 504, empty: true }), ...unavailable, calls: 3, attempts: 3 },
  { fault: token('html', { status: 502 }), ...unavailable, calls: 3, attempts: 3 },
  { fault: aadsts(90033), ...unavailable, calls: 3, attempts: 3 },
  { fault: aadsts(50196), ...unavailable, retryAfter: 60 },
  // The federated credential or the assertion is wrong.
  { fault: aadsts(700024), ...federation },
  { fault: aadsts(700213), ...federation },
  { fault: aadsts(70025), ...federation },
  { fault: aadsts(90038), ...federation },
  // An administrator of the tenant must act.
  { fault: aadsts(7000229), ...consent },
  { fault: aadsts(7000112), ...consent },
  { fault: aadsts(65001), ...consent },
  { fault: aadsts(501051), ...consent },
  // The tenant or resource does not exist, or Entra refuses for another reason.
  { fault: aadsts(90002), ...rejected },
  { fault: aadsts(500011), ...rejected },
  { fault: aadsts(53003), ...rejected },
  { fault: aadsts(123_456), ...rejected },
  // Not of the protocol.
  { fault: token('html', { status: 200 }), ...invalid },
  { fault: token('broken-json'), ...invalid },
  { fault: token('redirect'), ...invalid },
  { fault: token('huge-body'), ...invalid },
  // A token response with one wrong field.
  { fault: token('wrong-tenant'), ...invalid },
  { fault: token('wrong-application'), ...invalid },
  { fault: token('wrong-audience'), ...invalid },
  { fault: token('no-expiry'), ...invalid },
  { fault: token('expired'), ...invalid },
  { fault: token('endless'), ...invalid },
  { fault: token('no-text'), ...invalid },
  { fault: token('line-break'), ...invalid },
  { fault: token('wrong-type'), ...invalid },
  { fault: token('delegated'), ...invalid },
]

for (const row of rows) {
  reportRow(
    row,
    () => strike(matrix, broker, row),
    ({ counts }) => {
      assert.equal(counts.endpoints.token.total, 6 * row.calls)
      assert.equal(counts.endpoints.discovery.total, 0)
      // Only after a refused assertion does the broker fetch another one.
      if (row.fault.code !== 700_024) assert.equal(counts.endpoints.identity.total, 0)
    },
  )
}
