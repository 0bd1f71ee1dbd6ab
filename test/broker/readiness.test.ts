import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createReadiness } from '../../src/broker/readiness.ts'

const never = new AbortController().signal
/** The shortest pauses there are. */
const random = () => 0

/** A need that fails a number of times before it is met. */
function need(name: string, failures: number) {
  const state = { tries: 0 }
  const get = async (): Promise<void> => {
    if (state.tries++ < failures) throw new Error(`${name} is away`)
  }
  return { name, get, state }
}

describe('readiness', () => {
  test('is reached when everything was had once', async () => {
    const [one, two] = [need('one', 0), need('two', 0)]
    const readiness = createReadiness([one, two], () => assert.fail('nothing failed'), random)
    assert.equal(readiness.isReady(), false)
    await readiness.reach(never)
    assert.equal(readiness.isReady(), true)
    assert.deepEqual([one.state.tries, two.state.tries], [1, 1])
  })

  test('is not reached before the last of it was had', async () => {
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

  test('does not ask on the way in: nothing is fetched before it is told to', async () => {
    const one = need('one', 0)
    createReadiness([one], () => undefined, random)
    assert.equal(one.state.tries, 0)
  })

  test('tries again after a failure, and tells of each', async () => {
    const told: string[] = []
    const one = need('one', 1)
    const readiness = createReadiness([one], (name, error) => told.push(`${name}: ${String(error)}`), random)
    await readiness.reach(never)
    assert.equal(readiness.isReady(), true)
    assert.deepEqual(told, ['one: Error: one is away'])
  })

  test('stays once it is reached, whatever fails later', async () => {
    const one = need('one', 0)
    const readiness = createReadiness([one], () => undefined, random)
    await readiness.reach(never)
    one.get = () => Promise.reject(new Error('away'))
    assert.equal(readiness.isReady(), true)
  })

  test('is given up at once when the process stops, and never rejects', async () => {
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
