import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Wait } from '../../../src/broker/lib/clock.ts'
import { createWakeUps } from '../../../src/outbound/redis/wake-ups.ts'

/** Time that does not pass, or passes at once. */
const never: Wait = () => new Promise(() => undefined)
const atOnce: Wait = () => Promise.resolve()

describe('waiting for another replica', () => {
  const { signal } = new AbortController()

  test('news wake all listeners of the name, and no others', async () => {
    const wakeUps = createWakeUps(never)
    const [first, second] = [wakeUps.listen('a'), wakeUps.listen('a')]
    const news = Promise.all([first.next(100, signal), second.next(100, signal)])
    wakeUps.wake('b', Buffer.from('for another'))
    wakeUps.wake('a', 'stored')
    assert.deepEqual(await news, ['stored', 'stored'])
  })

  test('news that arrive early are not lost, and are read once', async () => {
    const wakeUps = createWakeUps(atOnce)
    const listener = wakeUps.listen('a')
    wakeUps.wake('a', 'stored')
    assert.equal(await listener.next(100, signal), 'stored')
    assert.equal(await listener.next(100, signal), undefined)
  })

  test('the wait ends without news after its time', async () => {
    assert.equal(await createWakeUps(atOnce).listen('a').next(100, signal), undefined)
  })

  test('the wait ends when the fetch is aborted, before and during it', async () => {
    const listener = createWakeUps(never).listen('a')
    const stopping = new AbortController()
    const news = listener.next(100, stopping.signal)
    stopping.abort()
    assert.equal(await news, undefined)
    assert.equal(await listener.next(100, stopping.signal), undefined)
  })

  test('after stop, nothing is kept, and others go on', async () => {
    const wakeUps = createWakeUps(never)
    const [first, second] = [wakeUps.listen('a'), wakeUps.listen('a')]
    first.stop()
    wakeUps.wake('a', 'stored')
    assert.equal(await second.next(100, signal), 'stored')
  })
})
