import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { settled, turnsWorld } from './world.ts'

describe('a flight', () => {
  test('begins at once where a slot is free, and settles for all who joined', async () => {
    const { ask, begun, end } = turnsWorld()
    const { flight } = ask('a', 'one')
    flight.join('b')
    assert.deepEqual(begun, ['one'])
    await end('one')
    assert.equal(await flight.result, 'one')
  })

  test('does not begin before somebody joins', () => {
    const { flight, begun } = turnsWorld()
    const one = flight('one')
    assert.deepEqual([begun, one.started], [[], false])
    one.join('a')
    assert.deepEqual([begun, one.started], [['one'], true])
  })

  test('that fails, even at once, gives its slot back', async () => {
    const { turns, ask, begun } = turnsWorld()
    const failing = turns.task(
      () => {
        throw new Error('at once')
      },
      () => undefined,
    )
    failing.join('a')
    ask('b', 'next')
    await assert.rejects(failing.result, /at once/)
    await settled()
    assert.deepEqual(begun, ['next'])
  })

  test('that fails while nobody listens is no unhandled rejection', async t => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    t.after(() => process.off('unhandledRejection', listen))
    const { turns } = turnsWorld()
    turns
      .task(
        () => Promise.reject(new Error('away')),
        () => undefined,
      )
      .join('a', true)
    await settled()
    assert.deepEqual(unhandled, [])
  })

  test('never begins twice, whoever joins late', async () => {
    const { ask, begun, end } = turnsWorld({ limit: 2 })
    const { flight } = ask('a', 'one')
    const leave = flight.join('b')
    await end('one')
    flight.join('c')
    leave()
    assert.deepEqual(begun, ['one'])
  })
})

describe('turns', () => {
  test('a caller with ten thousand cold keys does not hold up the single one of another', async () => {
    const { ask, begun, endFirst } = turnsWorld({ limit: 1, maxWaiting: 30_000 })
    for (let n = 0; n < 10_000; n++) ask('greedy', `greedy-${n}`)
    ask('modest', 'modest-1')
    await endFirst(2)
    assert.deepEqual(begun, ['greedy-0', 'greedy-1', 'modest-1'])
  })

  test('go round: one flight of each caller, each in its own order', async () => {
    const { ask, begun, endAll } = turnsWorld()
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) ask(name.charAt(0), name)
    await endAll()
    assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2'])
  })

  test('coming again and again with one flight each gains nothing', async () => {
    const { ask, begun, endFirst } = turnsWorld()
    ask('a', 'a1')
    for (const name of ['a2', 'b1', 'c1']) ask(name.charAt(0), name)
    for (let n = 3; n < 6; n++) {
      await endFirst()
      ask('a', `a${n}`)
    }
    await endFirst(3)
    assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1', 'a3', 'a4', 'a5'])
  })

  test('a flight goes with the waiter who gets there first, and is gone from the other queues', async () => {
    const { ask, begun, endFirst, turns } = turnsWorld()
    ask('a', 'a1')
    ask('a', 'a2')
    const { flight } = ask('a', 'shared')
    flight.join('b')
    assert.equal(turns.load().waiting, 3)
    await endFirst(2)
    assert.deepEqual(begun, ['a1', 'a2', 'shared'])
    assert.equal(turns.load().waiting, 0)
  })

  test('the joiner’s queue is shorter: its turn begins what the other asked for', async () => {
    const { ask, begun, endFirst } = turnsWorld()
    for (let n = 0; n < 10; n++) ask('a', `a${n}`)
    const { flight } = ask('a', 'shared')
    flight.join('b')
    await endFirst(2)
    assert.deepEqual(begun, ['a0', 'a1', 'shared'])
  })
})

describe('giving up', () => {
  test('a flight that nobody waits for any more leaves the queue, and whoever made it is told', async () => {
    const { ask, begun, endAll, turns, abandoned } = turnsWorld()
    ask('a', 'a1')
    const { leave } = ask('b', 'b1')
    leave()
    assert.deepEqual([abandoned, turns.load().waiting], [['b1'], 0])
    leave()
    assert.deepEqual(abandoned, ['b1'], 'only once')
    await endAll()
    assert.deepEqual(begun, ['a1'])
  })

  test('while others wait it stays: of the same caller', async () => {
    const { ask, begun, endAll, abandoned } = turnsWorld()
    ask('a', 'a1')
    const { flight, leave } = ask('b', 'b1')
    flight.join('b')
    leave()
    leave()
    assert.deepEqual(abandoned, [])
    await endAll()
    assert.deepEqual(begun, ['a1', 'b1'])
  })

  test('while others wait it stays: of another caller, in that one’s queue', async () => {
    const { ask, begun, endAll, turns } = turnsWorld()
    ask('a', 'a1')
    const { flight, leave } = ask('b', 'b1')
    ask('c', 'c1')
    flight.join('c')
    leave()
    assert.equal(turns.load().waiting, 2)
    await endAll()
    assert.deepEqual(begun, ['a1', 'c1', 'b1'])
  })

  test('does nothing to work that has begun', async () => {
    const { ask, abandoned, end } = turnsWorld()
    const { flight, leave } = ask('a', 'a1')
    leave()
    assert.deepEqual(abandoned, [])
    await end('a1')
    assert.equal(await flight.result, 'a1')
  })

  test('over and over leaves nothing behind', () => {
    const { ask, turns } = turnsWorld({ maxWaiting: 4 })
    ask('a', 'a1')
    for (let n = 0; n < 1000; n++) ask('b', `b${n}`).leave()
    assert.deepEqual(turns.load(), { running: 1, waiting: 0, background: 0 })
  })
})
