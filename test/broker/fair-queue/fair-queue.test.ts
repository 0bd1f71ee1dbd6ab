import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { settled, queueWorld } from './world.ts'

describe('a task', () => {
  test('starts at once if a slot is free, and settles for all callers that joined', async () => {
    const { add, started, end } = queueWorld()
    const { task } = add('a', 'one')
    task.join('b')
    assert.deepEqual(started, ['one'])
    await end('one')
    assert.equal(await task.result, 'one')
  })

  test('does not start before a caller joins', () => {
    const { makeTask, started } = queueWorld()
    const one = makeTask('one')
    assert.deepEqual([started, one.started], [[], false])
    one.join('a')
    assert.deepEqual([started, one.started], [['one'], true])
  })

  test('that fails, even by throwing at once, frees its slot', async () => {
    const { queue, add, started } = queueWorld()
    const failing = queue.task(
      () => {
        throw new Error('at once')
      },
      () => undefined,
    )
    failing.join('a')
    add('b', 'next')
    await assert.rejects(failing.result, /at once/)
    await settled()
    assert.deepEqual(started, ['next'])
  })

  test('that fails without a waiting caller is no unhandled rejection', async t => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    t.after(() => process.off('unhandledRejection', listen))
    const { queue } = queueWorld()
    queue
      .task(
        () => Promise.reject(new Error('unavailable')),
        () => undefined,
      )
      .join('a', true)
    await settled()
    assert.deepEqual(unhandled, [])
  })

  test('never starts twice, also if callers join late', async () => {
    const { add, started, end } = queueWorld({ limit: 2 })
    const { task } = add('a', 'one')
    const leave = task.join('b')
    await end('one')
    task.join('c')
    leave()
    assert.deepEqual(started, ['one'])
  })
})

describe('a limit that changes', () => {
  test('applies to the next start: running tasks go on, and waiting ones start as it permits', async () => {
    let limit = 4
    const { add, started, end, endAll } = queueWorld({ limit: () => limit })
    for (const caller of ['a', 'b', 'c', 'd', 'e', 'f']) add(caller, caller)
    assert.deepEqual(started, ['a', 'b', 'c', 'd'])
    limit = 2
    await end('a')
    await end('b')
    assert.equal(started.length, 4, 'two still run')
    await end('c')
    assert.equal(started.length, 5)
    limit = 4
    await end('d')
    assert.equal(started.length, 6)
    await endAll()
  })
})

describe('turns', () => {
  test('a caller with ten thousand cold keys does not delay the single one of another caller', async () => {
    const { add, started, endFirst } = queueWorld({ limit: 1, maxWaiting: 30_000 })
    for (let n = 0; n < 10_000; n++) add('greedy', `greedy-${n}`)
    add('modest', 'modest-1')
    await endFirst(2)
    assert.deepEqual(started, ['greedy-0', 'greedy-1', 'modest-1'])
  })

  test('go round: one task of each caller, and the tasks of a caller in order', async () => {
    const { add, started, endAll } = queueWorld()
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) add(name.charAt(0), name)
    await endAll()
    assert.deepEqual(started, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2'])
  })

  test('a caller gains nothing by joining one task at a time, again and again', async () => {
    const { add, started, endFirst } = queueWorld()
    add('a', 'a1')
    for (const name of ['a2', 'b1', 'c1']) add(name.charAt(0), name)
    for (let n = 3; n < 6; n++) {
      await endFirst()
      add('a', `a${n}`)
    }
    await endFirst(3)
    assert.deepEqual(started, ['a1', 'a2', 'b1', 'c1', 'a3', 'a4', 'a5'])
  })

  test('a task starts in the first turn of its callers, and leaves the queues of the others', async () => {
    const { add, started, endFirst, queue } = queueWorld()
    add('a', 'a1')
    add('a', 'a2')
    const { task } = add('a', 'shared')
    task.join('b')
    assert.equal(queue.load().waiting, 3)
    await endFirst(2)
    assert.deepEqual(started, ['a1', 'a2', 'shared'])
    assert.equal(queue.load().waiting, 0)
  })

  test('a caller that joins has its turn earlier: the task starts then', async () => {
    const { add, started, endFirst } = queueWorld()
    for (let n = 0; n < 10; n++) add('a', `a${n}`)
    const { task } = add('a', 'shared')
    task.join('b')
    await endFirst(2)
    assert.deepEqual(started, ['a0', 'a1', 'shared'])
  })
})

describe('giving up', () => {
  test('a task without waiting callers leaves the queue, and `abandoned` is called once', async () => {
    const { add, started, endAll, queue, abandoned } = queueWorld()
    add('a', 'a1')
    const { leave } = add('b', 'b1')
    leave()
    assert.deepEqual([abandoned, queue.load().waiting], [['b1'], 0])
    leave()
    assert.deepEqual(abandoned, ['b1'], 'only once')
    await endAll()
    assert.deepEqual(started, ['a1'])
  })

  test('a task stays in the queue while another request of the same caller waits', async () => {
    const { add, started, endAll, abandoned } = queueWorld()
    add('a', 'a1')
    const { task, leave } = add('b', 'b1')
    task.join('b')
    leave()
    leave()
    assert.deepEqual(abandoned, [])
    await endAll()
    assert.deepEqual(started, ['a1', 'b1'])
  })

  test('a task stays in the queue of another caller that waits', async () => {
    const { add, started, endAll, queue } = queueWorld()
    add('a', 'a1')
    const { task, leave } = add('b', 'b1')
    add('c', 'c1')
    task.join('c')
    leave()
    assert.equal(queue.load().waiting, 2)
    await endAll()
    assert.deepEqual(started, ['a1', 'c1', 'b1'])
  })

  test('does not affect a task that has started', async () => {
    const { add, abandoned, end } = queueWorld()
    const { task, leave } = add('a', 'a1')
    leave()
    assert.deepEqual(abandoned, [])
    await end('a1')
    assert.equal(await task.result, 'a1')
  })

  test('again and again leaves no entries behind', () => {
    const { add, queue } = queueWorld({ maxWaiting: 4 })
    add('a', 'a1')
    for (let n = 0; n < 1000; n++) add('b', `b${n}`).leave()
    assert.deepEqual(queue.load(), { running: 1, waiting: 0, background: 0 })
  })
})
