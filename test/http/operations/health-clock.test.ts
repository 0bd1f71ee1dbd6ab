import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { startWorld, type TestBroker } from '../../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const startBroker = (t: TestContext) => world.broker(t)

async function offsetAt(broker: TestBroker): Promise<unknown> {
  const { upstreams } = (await broker.get('/health')).json
  return (upstreams as readonly Json[]).find(({ kind }) => kind === 'authority')?.['clock_offset_seconds']
}

describe("the broker's clock is compared with Entra's", () => {
  const rows: readonly (readonly [ahead: number, offset: number, why: string])[] = [
    [0, 0, 'equal clocks'],
    [200, -200, "the broker's is behind"],
    [-200, 200, "the broker's is ahead"],
    [-86_400, 86_400, 'a day'],
  ]
  for (const [clockAhead, offset, why] of rows)
    test(`Entra ${clockAhead} s ahead: ${offset} s, ${why}`, async t => {
      const broker = await startBroker(t)
      emulator.configure({ clockAhead })
      await broker.requestToken()
      assert.equal(await offsetAt(broker), offset)
    })

  test('by the date of an error too, and unknown while no response came', async t => {
    const broker = await startBroker(t)
    emulator.configure({ clockAhead: 600 })
    emulator.fault({ kind: 'reset', at: 'token' })
    await broker.requestToken()
    assert.equal(await offsetAt(broker), null)
    emulator.clearFaults()
    emulator.fault({ kind: 'aadsts', code: 7000229, at: 'token' })
    clock.advance(30)
    await broker.requestToken()
    assert.equal(await offsetAt(broker), -600)
  })
})
