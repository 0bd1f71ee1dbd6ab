import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { timed } from '../../../src/broker/lib/timed.ts'
import { BrokerError } from '../../../src/errors.ts'
import { movableClock } from '../../support/clock.ts'

function announcements() {
  const clock = movableClock()
  const told: (readonly [seconds: number, error: BrokerError | undefined])[] = []
  return { clock, told, tell: (seconds: number, error?: BrokerError) => void told.push([seconds, error]) }
}

/** Throws anything, as foreign code may. */
const fails = (thrown: unknown) => async (): Promise<never> => {
  throw thrown
}

describe('work that is announced', () => {
  test('passes on its very result, and is told once with the seconds it took', async () => {
    const { clock, told, tell } = announcements()
    const result = { some: 'thing' }
    const work = async () => {
      clock.advance(1250)
      return result
    }
    assert.equal(await timed(work, clock, tell), result)
    assert.deepEqual(told, [[1.25, undefined]])
  })

  test('passes on its very failure, and is told once with it', async () => {
    const { clock, told, tell } = announcements()
    const failure = new BrokerError('upstream_unavailable', 'away')
    await assert.rejects(timed(fails(failure), clock, tell), thrown => thrown === failure)
    assert.deepEqual(told, [[0, failure]])
  })

  test('is told of an error that is none of ours as internal_error, while the caller gets the thing itself', async () => {
    const { clock, told, tell } = announcements()
    const bug = new TypeError('x is not a function')
    await assert.rejects(timed(fails(bug), clock, tell), thrown => thrown === bug)
    const [[, error] = []] = told
    assert.equal(error?.code, 'internal_error')
    assert.equal(error.cause, bug)
    assert.ok(!error.message.includes('function'))
  })

  test('is told what its owner makes of an error', async () => {
    const { clock, told, tell } = announcements()
    const own = new BrokerError('issuer_unavailable', 'no keys', { reason: 'keys' })
    await assert.rejects(
      timed(fails('text'), clock, tell, () => own),
      thrown => thrown === 'text',
    )
    assert.deepEqual(told, [[0, own]])
  })

  test('that fails before it begins to wait is announced too', async () => {
    const { clock, told, tell } = announcements()
    const throws = (): Promise<never> => {
      throw new Error('at once')
    }
    await assert.rejects(timed(throws, clock, tell), /at once/)
    assert.equal(told.length, 1)
  })

  test('takes no less time when the wall clock jumps', async () => {
    const { clock, told, tell } = announcements()
    await timed(async () => clock.jumpWall(-3_600_000), clock, tell)
    await timed(async () => clock.jumpWall(3_600_000), clock, tell)
    assert.deepEqual(
      told.map(([seconds]) => seconds),
      [0, 0],
    )
  })
})
