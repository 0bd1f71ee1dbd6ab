import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import { type TestBroker, until } from '../../support/broker.ts'
import { askAllFor, askFor, cells, prepare, reportRow, type Row, startMatrix, strike } from './world.ts'

/**
 * Everything that can go wrong at the identity endpoint. Its token serves all applications and tenants, so that one
 * request of it has to do for all cells.
 */
const matrix = await startMatrix()
const { emulator } = matrix
const broker = await matrix.start({ after })

const gone = { status: 503, code: 'identity_unavailable', retryAfter: 1, calls: 0 }
const federation = { status: 502, code: 'federation_misconfigured', calls: 1 }
const identity = (kind: Fault['kind'], rest: Partial<Fault> = {}): Fault => ({ kind, at: 'identity', ...rest })
/** The identity endpoint has most of the time of an exchange, so that it is clear which of the two hangs. */
const share = 0.8

const rows: readonly Row[] = [
  { fault: identity('refused'), ...gone },
  { fault: identity('reset'), ...gone },
  { fault: identity('hung'), ...gone, waits: share },
  { fault: identity('stalled-body'), ...gone, waits: share },
  { fault: identity('throttled', { retryAfter: 'none' }), ...gone },
  { fault: identity('throttled', { retryAfter: 5 }), ...gone, retryAfter: 5 },
  { fault: identity('throttled', { retryAfter: 9, httpDate: true }), ...gone, retryAfter: 9 },
  { fault: identity('server-error', { status: 500 }), ...gone },
  { fault: identity('server-error', { status: 503, retryAfter: 7 }), ...gone, retryAfter: 7 },
  { fault: identity('html', { status: 502 }), ...gone },
  { fault: identity('html', { status: 200 }), ...gone },
  { fault: identity('broken-json'), ...gone },
  { fault: identity('redirect'), ...gone },
  { fault: identity('huge-body'), ...gone },
  { fault: identity('no-expiry'), ...gone },
  { fault: identity('expired'), ...gone },
  // What the identity's token says is Entra's to judge: each application and tenant asks it once.
  { fault: identity('wrong-tenant'), ...federation },
  { fault: identity('wrong-application'), ...federation },
  { fault: identity('wrong-audience'), ...federation },
]

describe("the identity's token is gone", () => {
  for (const row of rows) {
    const struck = () => {
      // Gone by the time that the cells are in their states.
      emulator.configure({ identityTokenLife: 5 })
      emulator.renewIdentityToken()
      return strike(matrix, broker, row)
    }
    reportRow(row, struck, ({ counts }) => {
      assert.equal(counts.endpoints.identity.total, row.fault.kind === 'refused' ? 0 : 1)
      assert.equal(counts.endpoints.discovery.total, 6 * row.calls)
    })
  }
})

const outages = [identity('refused'), identity('hung'), identity('server-error'), identity('expired')]

/** Asks for everything while the identity endpoint is away, and expects that nobody notices. */
async function nobodyNotices(other: TestBroker): Promise<void> {
  for (const cell of cells) {
    for (const { status, headers } of await askAllFor(matrix, other, cell)) {
      assert.equal(status, 200)
      assert.doesNotMatch(String(headers['cache-status']), /refresh-failed/)
    }
    const asked = () => emulator.counts().tenants[cell.tenant]?.outcomes['issued'] ?? 0
    await until('the exchange', () => asked() === 1)
  }
}

for (const fault of outages) {
  describe(`${fault.kind} at identity`, () => {
    test("while the identity's token is fresh: nobody notices, and it is not asked", async t => {
      const other = await matrix.start(t)
      await prepare(matrix, other)
      emulator.fault(fault)
      await nobodyNotices(other)
      assert.equal(emulator.counts().endpoints.identity.total, 0)
    })

    test("while the identity's token is due: nobody notices, and it is asked once", async t => {
      const other = await matrix.start(t)
      // Due after half of its life: within the last ten of the 110 seconds that the preparation takes.
      emulator.configure({ identityTokenLife: 210 })
      emulator.renewIdentityToken()
      await askFor(matrix, other, cells[0] ?? assert.fail())
      await prepare(matrix, other)
      emulator.fault(fault)
      await nobodyNotices(other)
      assert.equal(emulator.counts().endpoints.identity.total, fault.kind === 'refused' ? 0 : 1)
    })
  })
}
