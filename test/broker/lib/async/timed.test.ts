import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { timed } from '../../../../src/broker/lib/async/timed.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { movableClock } from '../../../support/clock.ts'

function recordingObserver() {
  const clock = movableClock()
  const calls: (readonly [seconds: number, error: BrokerError | undefined])[] = []
  return { clock, calls, observer: (seconds: number, error?: BrokerError) => void calls.push([seconds, error]) }
}

/** Throws anything, as foreign code may. */
const fails = (thrown: unknown) => async (): Promise<never> => {
  throw thrown
}

describe('timed work', () => {
  test('returns the same result, and the observer is called once with the seconds it took', async () => {
    const { clock, calls, observer } = recordingObserver()
    const result = { some: 'thing' }
    const work = async () => {
      clock.advance(1250)
      return result
    }
    assert.equal(await timed(work, clock, observer), result)
    assert.deepEqual(calls, [[1.25, undefined]])
  })

  test('throws the same error, and the observer is called once with it', async () => {
    const { clock, calls, observer } = recordingObserver()
    const failure = new BrokerError('upstream_unavailable', 'unavailable')
    await assert.rejects(timed(fails(failure), clock, observer), thrown => thrown === failure)
    assert.deepEqual(calls, [[0, failure]])
  })

  test('the observer gets an unknown error as internal_error, and the caller gets the error itself', async () => {
    const { clock, calls, observer } = recordingObserver()
    const bug = new TypeError('x is not a function')
    await assert.rejects(timed(fails(bug), clock, observer), thrown => thrown === bug)
    const [[, error] = []] = calls
    assert.equal(error?.code, 'internal_error')
    assert.equal(error.cause, bug)
    assert.ok(!error.message.includes('function'))
  })

  test('the observer gets the error that asError returns', async () => {
    const { clock, calls, observer } = recordingObserver()
    const own = new BrokerError('issuer_unavailable', 'no keys', { reason: 'keys' })
    await assert.rejects(
      timed(fails('text'), clock, observer, () => own),
      thrown => thrown === 'text',
    )
    assert.deepEqual(calls, [[0, own]])
  })

  test('the observer is called for work that throws synchronously too', async () => {
    const { clock, calls, observer } = recordingObserver()
    const throws = (): Promise<never> => {
      throw new Error('at once')
    }
    await assert.rejects(timed(throws, clock, observer), /at once/)
    assert.equal(calls.length, 1)
  })

  test('is measured by the monotonic clock: a jump of the wall clock changes nothing', async () => {
    const { clock, calls, observer } = recordingObserver()
    await timed(async () => clock.jumpWall(-3_600_000), clock, observer)
    await timed(async () => clock.jumpWall(3_600_000), clock, observer)
    assert.deepEqual(
      calls.map(([seconds]) => seconds),
      [0, 0],
    )
  })
})
