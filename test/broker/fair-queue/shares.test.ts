import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { turnsWorld } from './world.ts'
import { runs } from '../../support/runs.ts'

describe('slots', () => {
  const table: readonly [limit: number, callers: number, each: number, why: string][] = [
    [64, 1, 48, 'one caller leaves a quarter'],
    [64, 2, 28, 'two leave an eighth'],
    [64, 3, 20, 'three'],
    [64, 100, 1, 'more callers than slots: one each, for as many as there are slots'],
    [4, 1, 3, 'four slots'],
    [2, 1, 2, 'nothing can be held back of two'],
    [1, 1, 1, 'nor of one'],
  ]
  for (const [limit, callers, each, why] of table) {
    test(`of ${limit}, ${callers} greedy callers have up to ${each} each: ${why}`, () => {
      const { ask, begun } = turnsWorld({ limit, maxWaiting: 100_000 })
      for (let n = 0; n < 100; n++) for (let caller = 0; caller < callers; caller++) ask(`c${caller}`, `c${caller}`)
      const counts = Object.values(Object.groupBy(begun, name => name)).map(names => names?.length ?? 0)
      assert.equal(Math.max(...counts), each)
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1)
      assert.ok(begun.length <= limit)
    })
  }

  test('while an upstream hangs for one caller, another one’s flight begins at once', () => {
    const { ask, begun } = turnsWorld({ limit: 64 })
    for (let n = 0; n < 1000; n++) ask('hung', 'hung')
    for (const caller of ['b', 'c', 'd']) ask(caller, caller)
    assert.deepEqual(begun.slice(-3), ['b', 'c', 'd'])
  })

  test('whoever has more than a share goes on when others end', async () => {
    const { ask, begun, endAll, turns } = turnsWorld({ limit: 4 })
    for (let n = 0; n < 20; n++) ask('a', `a${n}`)
    assert.equal(begun.length, 3)
    await endAll()
    assert.equal(begun.length, 20)
    assert.deepEqual(turns.load(), { running: 0, waiting: 0, background: 0 })
  })
})

describe('places in the queue', () => {
  /** How many flights a caller may have waiting before it is refused. */
  const fill = (ask: ReturnType<typeof turnsWorld>['ask'], caller: string, background = false): number => {
    for (let n = 0; ; n++) {
      try {
        ask(caller, `${caller}-${n}`, background)
      } catch (thrown) {
        assert.match(String(thrown), /overloaded/)
        return n
      }
    }
  }

  test('a caller has as many as are left: half of them, a third beside another, and one is left for the next', () => {
    const { ask, turns } = turnsWorld({ maxWaiting: 100 })
    ask('first', 'under way')
    assert.equal(fill(ask, 'a'), 50)
    assert.equal(fill(ask, 'b'), 25)
    for (const caller of ['c', 'd', 'e']) ask(caller)
    assert.equal(turns.load().waiting, 78)
  })

  test('however many callers come, the bound holds', () => {
    const { ask, turns } = turnsWorld({ maxWaiting: 100 })
    for (let n = 0; n < 101; n++) ask(`c${n}`)
    assert.throws(() => ask('one more'), /overloaded/)
    assert.deepEqual(turns.load(), { running: 1, waiting: 100, background: 0 })
  })

  test('joining costs a place; joining again, or what has begun, does not', () => {
    const { ask, turns } = turnsWorld({ maxWaiting: 3 })
    const { flight: begun } = ask('a', 'a1')
    const { flight } = ask('a', 'a2')
    flight.join('b')
    flight.join('c')
    for (const caller of ['a', 'b', 'c']) flight.join(caller)
    for (const caller of ['d', 'e', 'f']) begun.join(caller)
    assert.equal(turns.load().waiting, 3)
    assert.throws(() => flight.join('d'), /overloaded/)
    assert.equal(turns.load().waiting, 3)
  })

  test('a refused caller leaves nothing behind: the others have their turns', async () => {
    const { ask, begun, endAll } = turnsWorld({ maxWaiting: 1 })
    ask('a', 'a1')
    ask('b', 'b1')
    assert.throws(() => ask('c', 'c1'), /overloaded/)
    await endAll()
    ask('c', 'c2')
    assert.deepEqual(begun, ['a1', 'b1', 'c2'])
  })

  test('there are ten thousand', () => {
    const { ask } = turnsWorld()
    ask('first')
    assert.equal(fill(ask, 'a'), 5000)
  })

  test('refreshes that nobody waits for leave half of them to callers, of whomever they are', () => {
    const { ask, turns } = turnsWorld({ maxWaiting: 100 })
    ask('first')
    for (let n = 0; n < 50; n++) ask(`caller-${n}`, `refresh-${n}`, true)
    assert.throws(() => ask('one more', 'refresh', true), /overloaded/)
    ask('one more')
    assert.deepEqual(turns.load(), { running: 1, waiting: 51, background: 50 })
  })
})

describe('refreshes in the background', () => {
  test('begin at once while there is room, in half of the slots', () => {
    const { ask, begun } = turnsWorld({ limit: 64 })
    for (let n = 0; n < 100; n++) ask(`c${n}`, 'refresh', true)
    assert.equal(begun.length, 32)
    ask('a', 'cold')
    assert.equal(begun.at(-1), 'cold')
  })

  test('have one turn in four while callers wait: neither keeps the other from its work', async () => {
    const { ask, begun, endFirst } = turnsWorld()
    ask('first', 'first')
    for (let n = 0; n < 20; n++) {
      ask(`c${n}`, 'cold')
      ask('a', 'refresh', true)
    }
    await endFirst(11)
    assert.equal(
      begun
        .slice(1)
        .map(name => name.charAt(0))
        .join(''),
      'ccrcccrcccr',
    )
  })

  test('are fair among each other: thousands of one caller do not hold up the refresh of another', async () => {
    const { ask, begun, endFirst } = turnsWorld()
    for (let n = 0; n < 1000; n++) ask('greedy', `greedy-${n}`, true)
    ask('modest', 'modest', true)
    await endFirst(2)
    assert.deepEqual(begun, ['greedy-0', 'greedy-1', 'modest'])
  })

  test('a caller who comes to need the token gets it by its own turn', async () => {
    const { ask, begun, endFirst, turns } = turnsWorld()
    for (let n = 0; n < 10; n++) ask('a', `a${n}`, true)
    const { flight } = ask('a', 'expired meanwhile', true)
    const leave = flight.join('b')
    await endFirst()
    assert.equal(begun.at(-1), 'expired meanwhile')
    assert.equal(turns.load().waiting, 9)
    leave()
  })

  test('stay queued when that caller gives up', () => {
    const { ask, abandoned, turns } = turnsWorld()
    ask('a', 'a1')
    const { flight } = ask('a', 'refresh', true)
    flight.join('b')()
    assert.deepEqual(abandoned, [])
    assert.deepEqual(turns.load(), { running: 1, waiting: 1, background: 1 })
  })
})

const callers = ['a', 'b', 'c', 'd']
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('ask' as const), which: fc.nat(3), background: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('join' as const), which: fc.nat(100), caller: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(100) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(0) }) },
  ),
  { maxLength: 80 },
)

test('whatever happens: bounds hold, nothing begins twice or for nobody, and everything that is waited for begins', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 6 }), async (script, limit) => {
      const { ask, turns, begun, abandoned, endFirst, endAll } = turnsWorld({ limit, maxWaiting: 12 })
      const asked: { name: string; flight: ReturnType<typeof ask>['flight']; leaves: (() => void)[] }[] = []
      for (const step of script) {
        const picked = asked[step.which % Math.max(1, asked.length)]
        const before = turns.load().waiting
        const seen = begun.length
        try {
          if (step.do === 'ask') {
            const name = `${asked.length}`
            const { flight, leave } = ask(callers[step.which] ?? 'a', name, step.background)
            asked.push({ name, flight, leaves: [leave] })
          } else if (step.do === 'join') picked?.leaves.push(picked.flight.join(callers[step.caller] ?? 'a'))
          else if (step.do === 'leave') picked?.leaves.pop()?.()
          else await endFirst()
        } catch (thrown) {
          assert.match(String(thrown), /overloaded/)
          assert.ok(before > 0, 'nobody is refused while nobody waits')
          assert.equal(turns.load().waiting, before)
        }
        const { running, waiting } = turns.load()
        assert.ok(running <= limit && waiting <= 12)
        assert.ok(waiting === 0 || running > 0, 'nobody waits for nothing')
        assert.equal(new Set(begun).size, begun.length)
        assert.ok(begun.slice(seen).every(name => asked[Number(name)]?.leaves.length))
      }
      await endAll()
      assert.deepEqual(turns.load(), { running: 0, waiting: 0, background: 0 })
      for (const { name, leaves } of asked) {
        if (leaves.length > 0) assert.ok(begun.includes(name))
        assert.ok(begun.includes(name) || abandoned.includes(name))
      }
    }),
    { numRuns: runs(300) },
  )
})
