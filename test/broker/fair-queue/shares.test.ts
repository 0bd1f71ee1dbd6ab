import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { queueWorld } from './world.ts'
import { runs } from '../../support/runs.ts'

describe('slots', () => {
  const table: readonly [limit: number, callers: number, each: number, why: string][] = [
    [64, 1, 48, 'one caller leaves a quarter'],
    [64, 2, 28, 'two leave an eighth'],
    [64, 3, 20, 'three'],
    [64, 100, 1, 'more callers than slots: one slot each, until all are used'],
    [4, 1, 3, 'four slots'],
    [2, 1, 2, 'of two slots none is kept free'],
    [1, 1, 1, 'of one neither'],
  ]
  for (const [limit, callers, each, why] of table) {
    test(`of ${limit}: ${callers} greedy callers get up to ${each} each: ${why}`, () => {
      const { add, started } = queueWorld({ limit, maxWaiting: 100_000 })
      for (let n = 0; n < 100; n++) for (let caller = 0; caller < callers; caller++) add(`c${caller}`, `c${caller}`)
      const counts = Object.values(Object.groupBy(started, name => name)).map(names => names?.length ?? 0)
      assert.equal(Math.max(...counts), each)
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1)
      assert.ok(started.length <= limit)
    })
  }

  test('while an upstream hangs for one caller, the task of another caller starts at once', () => {
    const { add, started } = queueWorld({ limit: 64 })
    for (let n = 0; n < 1000; n++) add('hung', 'hung')
    for (const caller of ['b', 'c', 'd']) add(caller, caller)
    assert.deepEqual(started.slice(-3), ['b', 'c', 'd'])
  })

  test('a caller that has used up its share starts more tasks when others end', async () => {
    const { add, started, endAll, queue } = queueWorld({ limit: 4 })
    for (let n = 0; n < 20; n++) add('a', `a${n}`)
    assert.equal(started.length, 3)
    await endAll()
    assert.equal(started.length, 20)
    assert.deepEqual(queue.load(), { running: 0, waiting: 0, background: 0 })
  })
})

describe('places in the queue', () => {
  /** How many waiting tasks a caller may have before it is refused. */
  const fill = (add: ReturnType<typeof queueWorld>['add'], caller: string, background = false): number => {
    for (let n = 0; ; n++) {
      try {
        add(caller, `${caller}-${n}`, background)
      } catch (thrown) {
        assert.match(String(thrown), /overloaded/)
        return n
      }
    }
  }

  test('a caller gets as many as are left: the first half of them, the second a quarter, and some remain for the next', () => {
    const { add, queue } = queueWorld({ maxWaiting: 100 })
    add('first', 'running')
    assert.equal(fill(add, 'a'), 50)
    assert.equal(fill(add, 'b'), 25)
    for (const caller of ['c', 'd', 'e']) add(caller)
    assert.equal(queue.load().waiting, 78)
  })

  test('all callers together never get more than the maximum', () => {
    const { add, queue } = queueWorld({ maxWaiting: 100 })
    for (let n = 0; n < 101; n++) add(`c${n}`)
    assert.throws(() => add('one more'), /overloaded/)
    assert.deepEqual(queue.load(), { running: 1, waiting: 100, background: 0 })
  })

  test('joining takes a place; joining again, or joining a started task, does not', () => {
    const { add, queue } = queueWorld({ maxWaiting: 3 })
    const { task: started } = add('a', 'a1')
    const { task } = add('a', 'a2')
    task.join('b')
    task.join('c')
    for (const caller of ['a', 'b', 'c']) task.join(caller)
    for (const caller of ['d', 'e', 'f']) started.join(caller)
    assert.equal(queue.load().waiting, 3)
    assert.throws(() => task.join('d'), /overloaded/)
    assert.equal(queue.load().waiting, 3)
  })

  test('a refused caller leaves no entries behind: the others take their turns', async () => {
    const { add, started, endAll } = queueWorld({ maxWaiting: 1 })
    add('a', 'a1')
    add('b', 'b1')
    assert.throws(() => add('c', 'c1'), /overloaded/)
    await endAll()
    add('c', 'c2')
    assert.deepEqual(started, ['a1', 'b1', 'c2'])
  })

  test('there are ten thousand by default', () => {
    const { add } = queueWorld()
    add('first')
    assert.equal(fill(add, 'a'), 5000)
  })

  test('all refreshes together get half of them at most; the others are left for waiting callers', () => {
    const { add, queue } = queueWorld({ maxWaiting: 100 })
    add('first')
    for (let n = 0; n < 50; n++) add(`caller-${n}`, `refresh-${n}`, true)
    assert.throws(() => add('one more', 'refresh', true), /overloaded/)
    add('one more')
    assert.deepEqual(queue.load(), { running: 1, waiting: 51, background: 50 })
  })
})

describe('refreshes in the background', () => {
  test('start at once while slots are free, in half of the slots at most', () => {
    const { add, started } = queueWorld({ limit: 64 })
    for (let n = 0; n < 100; n++) add(`c${n}`, 'refresh', true)
    assert.equal(started.length, 32)
    add('a', 'cold')
    assert.equal(started.at(-1), 'cold')
  })

  test('get one turn in four while callers wait', async () => {
    const { add, started, endFirst } = queueWorld()
    add('first', 'first')
    for (let n = 0; n < 20; n++) {
      add(`c${n}`, 'cold')
      add('a', 'refresh', true)
    }
    await endFirst(11)
    assert.equal(
      started
        .slice(1)
        .map(name => name.charAt(0))
        .join(''),
      'ccrcccrcccr',
    )
  })

  test('take turns by caller: thousands of one caller do not delay the refresh of another', async () => {
    const { add, started, endFirst } = queueWorld()
    for (let n = 0; n < 1000; n++) add('greedy', `greedy-${n}`, true)
    add('modest', 'modest', true)
    await endFirst(2)
    assert.deepEqual(started, ['greedy-0', 'greedy-1', 'modest'])
  })

  test('a caller that joins a waiting refresh starts it in its own turn', async () => {
    const { add, started, endFirst, queue } = queueWorld()
    for (let n = 0; n < 10; n++) add('a', `a${n}`, true)
    const { task } = add('a', 'expired meanwhile', true)
    const leave = task.join('b')
    await endFirst()
    assert.equal(started.at(-1), 'expired meanwhile')
    assert.equal(queue.load().waiting, 9)
    leave()
  })

  test('stay in the queue when such a caller leaves', () => {
    const { add, abandoned, queue } = queueWorld()
    add('a', 'a1')
    const { task } = add('a', 'refresh', true)
    task.join('b')()
    assert.deepEqual(abandoned, [])
    assert.deepEqual(queue.load(), { running: 1, waiting: 1, background: 1 })
  })
})

const callers = ['a', 'b', 'c', 'd']
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('add' as const), which: fc.nat(3), background: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('join' as const), which: fc.nat(100), caller: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(100) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(0) }) },
  ),
  { maxLength: 80 },
)

test('for any sequence of events: limits hold, no task starts twice or without a waiting caller, and every task with one starts', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 6 }), async (script, limit) => {
      const { add, queue, started, abandoned, endFirst, endAll } = queueWorld({ limit, maxWaiting: 12 })
      const added: { name: string; task: ReturnType<typeof add>['task']; leaves: (() => void)[] }[] = []
      for (const step of script) {
        const picked = added[step.which % Math.max(1, added.length)]
        const before = queue.load().waiting
        const seen = started.length
        try {
          if (step.do === 'add') {
            const name = `${added.length}`
            const { task, leave } = add(callers[step.which] ?? 'a', name, step.background)
            added.push({ name, task, leaves: [leave] })
          } else if (step.do === 'join') picked?.leaves.push(picked.task.join(callers[step.caller] ?? 'a'))
          else if (step.do === 'leave') picked?.leaves.pop()?.()
          else await endFirst()
        } catch (thrown) {
          assert.match(String(thrown), /overloaded/)
          assert.ok(before > 0, 'no caller is refused while the queue is empty')
          assert.equal(queue.load().waiting, before)
        }
        const { running, waiting } = queue.load()
        assert.ok(running <= limit && waiting <= 12)
        assert.ok(waiting === 0 || running > 0, 'no caller waits while no task runs')
        assert.equal(new Set(started).size, started.length)
        assert.ok(started.slice(seen).every(name => added[Number(name)]?.leaves.length))
      }
      await endAll()
      assert.deepEqual(queue.load(), { running: 0, waiting: 0, background: 0 })
      for (const { name, leaves } of added) {
        if (leaves.length > 0) assert.ok(started.includes(name))
        assert.ok(started.includes(name) || abandoned.includes(name))
      }
    }),
    { numRuns: runs(300) },
  )
})
