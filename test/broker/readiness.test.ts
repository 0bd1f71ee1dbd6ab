import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createReadiness } from '../../src/broker/readiness.ts'

const never = new AbortController().signal
/** The shortest pauses. */
const random = () => 0

/** A need that fails so many times before it is obtained. */
function need(name: string, failures: number) {
  const state = { tries: 0 }
  const get = async (): Promise<void> => {
    if (state.tries++ < failures) throw new Error(`${name} is unavailable`)
  }
  return { name, get, state }
}

describe('readiness', () => {
  test('is reached once every need was obtained', async () => {
    const [one, two] = [need('one', 0), need('two', 0)]
    const readiness = createReadiness([one, two], () => assert.fail('nothing failed'), random)
    assert.equal(readiness.isReady(), false)
    await readiness.reach(never)
    assert.equal(readiness.isReady(), true)
    assert.deepEqual([one.state.tries, two.state.tries], [1, 1])
  })

  test('is not reached before the last need was obtained', async () => {
    const gate = Promise.withResolvers<void>()
    const readiness = createReadiness(
      [need('one', 0), { name: 'two', get: () => gate.promise }],
      () => undefined,
      random,
    )
    const reached = readiness.reach(never)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(readiness.isReady(), false)
    gate.resolve()
    await reached
    assert.equal(readiness.isReady(), true)
  })

  test('fetches nothing before `reach` is called', async () => {
    const one = need('one', 0)
    createReadiness([one], () => undefined, random)
    assert.equal(one.state.tries, 0)
  })

  test('retries after a failure, and reports each failure', async () => {
    const reported: string[] = []
    const one = need('one', 1)
    const readiness = createReadiness([one], (name, error) => reported.push(`${name}: ${String(error)}`), random)
    await readiness.reach(never)
    assert.equal(readiness.isReady(), true)
    assert.deepEqual(reported, ['one: Error: one is unavailable'])
  })

  test('is kept once reached, even if a need fails later', async () => {
    const one = need('one', 0)
    const readiness = createReadiness([one], () => undefined, random)
    await readiness.reach(never)
    one.get = () => Promise.reject(new Error('unavailable'))
    assert.equal(readiness.isReady(), true)
  })

  test('`reach` resolves at once when the process stops, and never rejects', async () => {
    const stopping = new AbortController()
    const failed = Promise.withResolvers<void>()
    const readiness = createReadiness([need('one', Infinity)], () => failed.resolve(), random)
    const reached = readiness.reach(stopping.signal)
    await failed.promise
    stopping.abort()
    await reached
    assert.equal(readiness.isReady(), false)
  })
})
