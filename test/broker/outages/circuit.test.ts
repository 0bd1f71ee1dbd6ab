import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import type { Reply, TestBroker } from '../../support/broker.ts'
import { send, until } from '../../support/broker.ts'
import { requestAll, requestCell, cells, type Cell, prepare, startMatrix } from './world.ts'

/** The circuit breaker as callers see it: with a cached token they are served, without one they get an error at once. */
const matrix = await startMatrix()
const { emulator, clock } = matrix

/** Keys of no cell: each application with the tenants of the other cells. */
const elsewhere: readonly Cell[] = cells.flatMap(({ application }) =>
  cells
    .filter(cell => cell.application !== application)
    .map(({ tenant }) => ({ state: 'cold', callers: 'one', application, tenant })),
)
const requests = () => emulator.counts().endpoints.token.total

/** Requests so many keys while a fault is injected; resolves to the responses. */
async function failAt(broker: TestBroker, fault: Fault, count: number): Promise<readonly Reply[]> {
  emulator.fault(fault)
  const replies: Reply[] = []
  for (const cell of elsewhere.slice(0, count)) replies.push(await requestCell(matrix, broker, cell))
  return replies
}

const serverError: Fault = { kind: 'server-error', at: 'token', status: 500 }

describe('the circuit is open', () => {
  test('after ten failed exchanges of several tenants: the eleventh is not made', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    const replies = await failAt(broker, serverError, 11)
    assert.equal(requests(), 10)
    const last = replies.at(-1)
    assert.deepEqual(
      [last?.status, last?.json['code'], last?.headers['retry-after']],
      [503, 'upstream_unavailable', '2'],
    )
  })

  test('cold and expired keys get 503 at once, due keys the cached token; no request is sent to Entra', async t => {
    const broker = await matrix.start(t)
    await broker.service.warmUp()
    await prepare(matrix, broker)
    await failAt(broker, serverError, 10)
    emulator.resetCounts()
    for (const cell of cells) {
      const replies = await requestAll(matrix, broker, cell)
      assert.ok(replies.every(({ status }) => status === (cell.state === 'due' ? 200 : 503)))
      if (cell.state !== 'due') assert.ok(replies.every(({ headers }) => headers['retry-after'] === '2'))
      else {
        await until('the refresh', () =>
          broker.events('token.refresh_failed').some(l => l['reason'] === 'circuit_open'),
        )
        const again = await requestCell(matrix, broker, cell)
        assert.match(String(again.headers['cache-status']), /^token-broker; hit; ttl=\d+; detail=refresh-failed$/)
      }
    }
    const { endpoints } = emulator.counts()
    assert.deepEqual([endpoints.token.total, endpoints.discovery.total], [0, 0])
    assert.equal((await send(`${broker.url}/readyz`)).status, 200, 'the broker stays ready')
  })

  test('its failures are not cached: when it closes after two seconds, every key gets a token at once', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    await failAt(broker, serverError, 10)
    for (const cell of cells) await requestCell(matrix, broker, cell)
    emulator.clearFaults()
    clock.advance(2)
    for (const cell of cells) assert.equal((await requestCell(matrix, broker, cell)).status, 200)
  })

  test('after two seconds one exchange is tried; if that fails, it stays open', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    await failAt(broker, serverError, 10)
    emulator.resetCounts()
    clock.advance(2)
    const cold = cells.filter(({ state }) => state !== 'due')
    const replies = await Promise.all(cold.map(cell => requestCell(matrix, broker, cell)))
    assert.ok(replies.every(({ status }) => status === 503))
    assert.equal(requests(), 1)
  })
})

describe('the circuit stays closed', () => {
  const responses: readonly [fault: Fault, why: string][] = [
    [{ kind: 'throttled', at: 'token' }, 'a 429 is a response'],
    [{ kind: 'aadsts', at: 'token', code: 65_001 }, 'a 4xx is a response'],
    [{ kind: 'broken-json', at: 'token' }, 'a response that cannot be used is one, too'],
    [{ kind: 'wrong-tenant', at: 'token' }, 'the wrong token is one, too'],
  ]
  for (const [fault, why] of responses) {
    test(`${fault.kind} for all tenants: ${why}`, async t => {
      const broker = await matrix.start(t)
      await prepare(matrix, broker)
      await failAt(broker, fault, 25)
      emulator.clearFaults()
      for (const cell of cells) assert.equal((await requestCell(matrix, broker, cell)).status, 200)
    })
  }

  test('the failures of one tenant do not affect the others', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    const [{ tenant }] = cells as readonly [Cell]
    emulator.fault({ ...serverError, tenant })
    for (let n = 0; n < 12; n++) {
      for (const cell of elsewhere.filter(each => each.tenant === tenant)) await requestCell(matrix, broker, cell)
      clock.advance(2)
    }
    for (const cell of cells) {
      assert.equal((await requestCell(matrix, broker, cell)).status, cell.tenant === tenant ? 503 : 200)
    }
  })
})
