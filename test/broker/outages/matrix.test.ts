import assert from 'node:assert/strict'
import { after } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { reportRow, type Row, startMatrix, strike } from './world.ts'

/**
 * Everything that can go wrong at Entra's token endpoint, for a key that is cold, due or expired, and for one caller or
 * several at once: what they get, after how long, and how often Entra is asked for it.
 */
const matrix = await startMatrix()
const broker = await matrix.start({ after })

const away = { status: 503, code: 'upstream_unavailable', retryAfter: 1, calls: 1 }
const invalid = { status: 502, code: 'upstream_invalid', calls: 1 }
const federation = { status: 502, code: 'federation_misconfigured', calls: 1 }
const consent = { status: 403, code: 'consent_required', calls: 1 }
const rejected = { status: 422, code: 'upstream_rejected', calls: 1 }

const token = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'token', ...rest })
const aadsts = (code: number): Fault => token('aadsts', { code })

const rows: readonly Row[] = [
  // No connection: what may pass is tried three times in all, as far as the time goes.
  { fault: token('refused'), ...away, calls: 0, attempts: 3 },
  { fault: token('reset'), ...away, calls: 3, attempts: 3 },
  // No answer: everybody gets theirs when the time is over.
  { fault: token('hung'), ...away, waits: 1 },
  { fault: token('stalled-body'), ...away, waits: 1 },
  // Trouble that passes is tried again; but a pause of a second does not fit into the time, so that is told at once.
  { fault: token('throttled'), ...away, retryAfter: 5 },
  { fault: token('throttled', { httpDate: true, retryAfter: 9 }), ...away, retryAfter: 9 },
  { fault: token('throttled', { retryAfter: 'none' }), ...away },
  { fault: token('throttled', { retryAfter: 86_400 }), ...away, retryAfter: 300 },
  { fault: token('server-error', { status: 500 }), ...away, calls: 3, attempts: 3 },
  { fault: token('server-error', { status: 502 }), ...away, calls: 3, attempts: 3 },
  { fault: token('server-error', { status: 503, retryAfter: 7 }), ...away, retryAfter: 7 },
  { fault: token('server-error', { status: 504, empty: true }), ...away, calls: 3, attempts: 3 },
  { fault: token('html', { status: 502 }), ...away, calls: 3, attempts: 3 },
  { fault: aadsts(90033), ...away, calls: 3, attempts: 3 },
  { fault: aadsts(50196), ...away },
  // The broker is not trusted as it is set up.
  { fault: aadsts(700024), ...federation },
  { fault: aadsts(700213), ...federation },
  { fault: aadsts(70025), ...federation },
  { fault: aadsts(90038), ...federation },
  // The tenant has to act.
  { fault: aadsts(7000229), ...consent },
  { fault: aadsts(7000112), ...consent },
  { fault: aadsts(65001), ...consent },
  { fault: aadsts(501051), ...consent },
  // What was asked for does not exist, or is refused for a reason that nobody foresaw.
  { fault: aadsts(90002), ...rejected },
  { fault: aadsts(500011), ...rejected },
  { fault: aadsts(53003), ...rejected },
  { fault: aadsts(123_456), ...rejected },
  // Garbage.
  { fault: token('html', { status: 200 }), ...invalid },
  { fault: token('broken-json'), ...invalid },
  { fault: token('redirect'), ...invalid },
  { fault: token('huge-body'), ...invalid },
  // A good answer with one thing wrong in it.
  { fault: token('wrong-tenant'), ...invalid },
  { fault: token('wrong-application'), ...invalid },
  { fault: token('wrong-audience'), ...invalid },
  { fault: token('no-expiry'), ...invalid },
  { fault: token('expired'), ...invalid },
]

for (const row of rows) {
  reportRow(
    row,
    () => strike(matrix, broker, row),
    ({ counts }) => {
      assert.equal(counts.endpoints.token.total, 6 * row.calls)
      // The discovery document is read once per attempt.
      const attempts = row.fault.kind === 'refused' ? 0 : 6 * (row.attempts ?? 1)
      assert.equal(counts.endpoints.discovery.total, attempts)
      // Only a refused assertion makes the broker ask for another one.
      if (row.fault.code !== 700_024) assert.equal(counts.endpoints.identity.total, 0)
    },
  )
}
