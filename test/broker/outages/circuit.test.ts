import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import type { Reply, TestBroker } from '../../support/broker.ts'
import { send, until } from '../../support/broker.ts'
import { askAllFor, askFor, cells, type Cell, prepare, startMatrix } from './world.ts'

/** The circuit as callers meet it: whoever has a token is served, whoever has none is answered at once. */
const matrix = await startMatrix()
const { emulator, clock } = matrix

/** Keys that no cell has: each application at the other cells' tenants. */
const elsewhere: readonly Cell[] = cells.flatMap(({ application }) =>
  cells
    .filter(cell => cell.application !== application)
    .map(({ tenant }) => ({ state: 'cold', callers: 'one', application, tenant })),
)
const requests = () => emulator.counts().endpoints.token.total

/** Asks for so many keys that fail; resolves to the answers. */
async function failAt(broker: TestBroker, fault: Fault, count: number): Promise<readonly Reply[]> {
  emulator.fault(fault)
  const replies: Reply[] = []
  for (const cell of elsewhere.slice(0, count)) replies.push(await askFor(matrix, broker, cell))
  return replies
}

const sick: Fault = { kind: 'server-error', at: 'token', status: 500 }

describe('the circuit is open', () => {
  test('after ten exchanges of several tenants that failed: the eleventh is not made', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    const replies = await failAt(broker, sick, 11)
    assert.equal(requests(), 10)
    const last = replies.at(-1)
    assert.deepEqual(
      [last?.status, last?.json['code'], last?.headers['retry-after']],
      [503, 'upstream_unavailable', '2'],
    )
  })

  test('cold and expired: 503 at once; due: the token that is held; nobody asks Entra', async t => {
    const broker = await matrix.start(t)
    await broker.service.warmUp()
    await prepare(matrix, broker)
    await failAt(broker, sick, 10)
    emulator.resetCounts()
    for (const cell of cells) {
      const replies = await askAllFor(matrix, broker, cell)
      assert.ok(replies.every(({ status }) => status === (cell.state === 'due' ? 200 : 503)))
      if (cell.state !== 'due') assert.ok(replies.every(({ headers }) => headers['retry-after'] === '2'))
      else {
        await until('the refresh', () =>
          broker.events('token.refresh_failed').some(l => l['reason'] === 'circuit_open'),
        )
        const again = await askFor(matrix, broker, cell)
        assert.match(String(again.headers['cache-status']), /^token-broker; hit; ttl=\d+; detail=refresh-failed$/)
      }
    }
    const { endpoints } = emulator.counts()
    assert.deepEqual([endpoints.token.total, endpoints.discovery.total], [0, 0])
    assert.equal((await send(`${broker.url}/readyz`)).status, 200, 'the broker stays ready')
  })

  test('it is nobody’s failure: when it closes after two seconds, every key is to be had at once', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    await failAt(broker, sick, 10)
    for (const cell of cells) await askFor(matrix, broker, cell)
    emulator.clearFaults()
    clock.advance(2)
    for (const cell of cells) assert.equal((await askFor(matrix, broker, cell)).status, 200)
  })

  test('after two seconds one exchange finds out; if that fails, it stays open', async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    await failAt(broker, sick, 10)
    emulator.resetCounts()
    clock.advance(2)
    const cold = cells.filter(({ state }) => state !== 'due')
    const replies = await Promise.all(cold.map(cell => askFor(matrix, broker, cell)))
    assert.ok(replies.every(({ status }) => status === 503))
    assert.equal(requests(), 1)
  })
})

describe('the circuit stays closed', () => {
  const answers: readonly [fault: Fault, why: string][] = [
    [{ kind: 'throttled', at: 'token' }, 'a 429 is an answer'],
    [{ kind: 'aadsts', at: 'token', code: 65_001 }, 'a 4xx is an answer'],
    [{ kind: 'broken-json', at: 'token' }, 'a useless answer is one, too'],
    [{ kind: 'wrong-tenant', at: 'token' }, 'so is the wrong token'],
  ]
  for (const [fault, why] of answers) {
    test(`${fault.kind} for all tenants: ${why}`, async t => {
      const broker = await matrix.start(t)
      await prepare(matrix, broker)
      await failAt(broker, fault, 25)
      emulator.clearFaults()
      for (const cell of cells) assert.equal((await askFor(matrix, broker, cell)).status, 200)
    })
  }

  test("one tenant's trouble is not the others'", async t => {
    const broker = await matrix.start(t)
    await prepare(matrix, broker)
    const [{ tenant }] = cells as readonly [Cell]
    emulator.fault({ ...sick, tenant })
    for (let n = 0; n < 12; n++) {
      for (const cell of elsewhere.filter(each => each.tenant === tenant)) await askFor(matrix, broker, cell)
      clock.advance(2)
    }
    for (const cell of cells) {
      assert.equal((await askFor(matrix, broker, cell)).status, cell.tenant === tenant ? 503 : 200)
    }
  })
})
