import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { type TestBroker, until } from '../../support/broker.ts'
import { requestAll, requestCell, cells, prepare, reportRow, type Row, startMatrix, strike } from './world.ts'

/**
 * Everything that can go wrong at the identity endpoint. Its token is used for all applications and tenants, so one
 * request to it is enough for all cells.
 */
const matrix = await startMatrix()
const { emulator } = matrix
const broker = await matrix.start({ after })

const unavailable = { status: 503, code: 'identity_unavailable', retryAfter: 1, calls: 0 }
const federation = { status: 502, code: 'federation_misconfigured', calls: 1 }
const identity = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'identity', ...rest })
/** The identity endpoint has this part of the time of an exchange, so that the error shows which of the two hangs. */
const share = 0.8

const rows: readonly Row[] = [
  { fault: identity('refused'), ...unavailable },
  { fault: identity('reset'), ...unavailable },
  { fault: identity('hung'), ...unavailable, waits: share },
  { fault: identity('stalled-body'), ...unavailable, waits: share },
  { fault: identity('throttled', { retryAfter: 'none' }), ...unavailable },
  { fault: identity('throttled', { retryAfter: 5 }), ...unavailable, retryAfter: 5 },
  { fault: identity('throttled', { retryAfter: 9, httpDate: true }), ...unavailable, retryAfter: 9 },
  { fault: identity('server-error', { status: 500 }), ...unavailable },
  { fault: identity('server-error', { status: 503, retryAfter: 7 }), ...unavailable, retryAfter: 7 },
  { fault: identity('html', { status: 502 }), ...unavailable },
  { fault: identity('html', { status: 200 }), ...unavailable },
  { fault: identity('broken-json'), ...unavailable },
  { fault: identity('redirect'), ...unavailable },
  { fault: identity('huge-body'), ...unavailable },
  { fault: identity('no-expiry'), ...unavailable },
  { fault: identity('expired'), ...unavailable },
  // Entra judges the identity's token: there is one exchange for each application and tenant.
  { fault: identity('wrong-tenant'), ...federation },
  { fault: identity('wrong-application'), ...federation },
  { fault: identity('wrong-audience'), ...federation },
]

describe('the token of the managed identity has expired', () => {
  for (const row of rows) {
    const struck = () => {
      // Expired by the time when the cells are in their states.
      emulator.configure({ identityTokenLife: 5 })
      emulator.renewIdentityToken()
      return strike(matrix, broker, row)
    }
    reportRow(row, struck, ({ counts }) => {
      assert.equal(counts.endpoints.identity.total, row.fault.kind === 'refused' ? 0 : 1)
      assert.equal(counts.endpoints.token.total, 6 * row.calls)
    })
  }
})

const outages = [identity('refused'), identity('hung'), identity('server-error'), identity('expired')]

/** Requests all keys while the identity endpoint fails, and expects tokens for all callers and successful refreshes. */
async function noCallerIsAffected(other: TestBroker): Promise<void> {
  for (const cell of cells) {
    for (const { status, headers } of await requestAll(matrix, other, cell)) {
      assert.equal(status, 200)
      assert.doesNotMatch(String(headers['cache-status']), /refresh-failed/)
    }
    const issued = () => emulator.counts().tenants[cell.tenant]?.outcomes['issued'] ?? 0
    await until('the exchange', () => issued() === 1)
  }
}

for (const fault of outages) {
  describe(`${fault.kind} at identity`, () => {
    before(() => (matrix.hanging.now = fault.kind === 'hung'))
    after(() => (matrix.hanging.now = false))
    test("while the identity's token is fresh: no caller is affected, and the endpoint is not called", async t => {
      const other = await matrix.start(t)
      await prepare(matrix, other)
      emulator.fault(fault)
      await noCallerIsAffected(other)
      assert.equal(emulator.counts().endpoints.identity.total, 0)
    })

    test("while the identity's token is due: no caller is affected, and the endpoint is called once", async t => {
      const other = await matrix.start(t)
      // Due after half of its life: within the last ten of the 110 seconds of the preparation.
      emulator.configure({ identityTokenLife: 210 })
      emulator.renewIdentityToken()
      await requestCell(matrix, other, cells[0] ?? assert.fail())
      await prepare(matrix, other)
      emulator.fault(fault)
      await noCallerIsAffected(other)
      assert.equal(emulator.counts().endpoints.identity.total, fault.kind === 'refused' ? 0 : 1)
    })
  })
}
