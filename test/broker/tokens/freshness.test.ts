import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  freshness,
  type Freshness,
  type Lifetime,
  type Moment,
  planLife,
  refreshBackOffMs,
  remainingMs,
} from '../../../src/broker/tokens/freshness.ts'

const noon = Date.UTC(2026, 4, 20, 12)
const start: Moment = { now: noon, monotonic: 5000 }
/** No jitter: the middle of its range. */
const middle = () => 0.5
const lowest = () => 0
const highest = () => 1 - Number.EPSILON

/** Seconds of age at which a token, planned with these inputs, becomes due and expires. */
function ages(known: Lifetime, random = middle, minRemainingSeconds = 60) {
  const life = planLife(known, start, minRemainingSeconds, random)
  const total = (life.endsAt - noon) / 1000
  return { due: total - life.dueBeforeEnd / 1000, expired: total - life.minRemaining / 1000, total }
}

describe('a life is planned', () => {
  const table: readonly [known: Lifetime, due: number, expired: number, why: string][] = [
    [{ expiresIn: 3600 }, 2700, 3540, 'an hour: due after 75 %, expired for the last minute'],
    [{ expiresIn: 86_400 }, 64_800, 86_340, 'a day'],
    [{ expiresIn: 600 }, 450, 540, 'ten minutes: the last minute is the tenth'],
    [{ expiresIn: 599 }, 449.25, 539.1, 'less than ten minutes: a tenth is less than a minute'],
    [{ expiresIn: 300 }, 225, 270, 'five minutes: still 75 %'],
    [{ expiresIn: 299 }, 149.5, 269.1, 'less than five minutes: due after half'],
    [{ expiresIn: 60 }, 30, 54, 'a minute: half, and expired for the last six seconds'],
    [{ expiresIn: 1 }, 0.5, 0.9, 'a second'],
    [{ expiresIn: 3600, refreshIn: 1800 }, 1800, 3540, 'the issuer suggests when'],
    [{ expiresIn: 86_400, refreshIn: 43_200 }, 43_200, 86_340, 'the issuer suggests when, for a day'],
    [{ expiresIn: 60, refreshIn: 10 }, 10, 54, 'the suggestion counts for short lives too'],
    [{ expiresIn: 3600, refreshIn: 9999 }, 3363, 3540, 'a suggestion beyond the end still leaves time for a refresh'],
    [{ expiresIn: 3600, expiresAt: noon + 3_600_000 }, 2700, 3540, 'expires_in and exp agree'],
    [{ expiresIn: 3600, expiresAt: noon + 3_400_000 }, 2550, 3340, 'the earlier counts: exp'],
    [{ expiresIn: 3600, expiresAt: noon + 3_800_000 }, 2700, 3540, 'the earlier counts: expires_in'],
    [{ expiresIn: 3600, expiresAt: noon + 200_000 }, 100, 180, 'the shares are of the shorter life'],
  ]
  for (const [known, due, expired, why] of table) {
    test(`${JSON.stringify(known)}: ${why}`, () => {
      const life = ages(known)
      assert.ok(Math.abs(life.due - due) < 0.001, `due after ${life.due} s`)
      assert.ok(Math.abs(life.expired - expired) < 0.001, `expired after ${life.expired} s`)
    })
  }

  test('a token that has ended before it arrives is expired at once', () => {
    const life = planLife({ expiresIn: 3600, expiresAt: noon - 1 }, start, 60, middle)
    assert.equal(freshness(life, remainingMs(life, start)), 'expired')
  })

  test('with a minimum of zero a token is served to its end, and not longer', () => {
    const life = planLife({ expiresIn: 3600 }, start, 0, middle)
    assert.equal(freshness(life, 1), 'due')
    assert.equal(freshness(life, 0), 'expired')
  })

  test('with a minimum of an hour a token is expired for no more than a tenth of its life', () => {
    assert.equal(ages({ expiresIn: 3600 }, middle, 3600).expired, 3240)
  })
})

describe('the life of a token that another replica has fetched', () => {
  const [hour, minute] = [3_600_000, 60_000]
  const at = (minutes: number): number => noon + minutes * minute
  const table: readonly [known: Lifetime, due: number, expired: number, total: number, why: string][] = [
    [{ expiresIn: 3600, issuedAt: at(-10) }, 35, 49, 50, 'its life began ten minutes ago'],
    [{ expiresIn: 3600, issuedAt: at(-10), refreshAt: at(30) }, 30, 49, 50, 'due when the other replica has planned'],
    [{ expiresIn: 3600, issuedAt: at(-10), refreshAt: at(-1) }, -1, 49, 50, 'due already'],
    [{ expiresIn: 3600, issuedAt: at(-10), refreshAt: at(500) }, 46.05, 49, 50, 'a plan beyond the end: after 95 %'],
    [{ expiresIn: 3600, issuedAt: at(0), refreshAt: at(30) }, 30, 59, 60, 'fetched just now'],
    [{ expiresIn: 3600, issuedAt: at(10) }, 45, 59, 60, 'its clock is ten minutes fast: no longer than from now on'],
    [{ expiresIn: 3600, issuedAt: at(10), expiresAt: at(55) }, 41.25, 54, 55, 'its own exp is looked at again'],
    [{ expiresIn: 3600, issuedAt: at(-10), expiresAt: at(40) }, 27.5, 39, 40, 'the earlier end counts'],
    [{ expiresIn: 3600, issuedAt: at(-60) }, -15, -1, 0, 'it has ended'],
    [{ expiresIn: 3600, issuedAt: at(-600) }, -555, -541, -540, 'it ended long ago'],
  ]
  for (const [known, due, expired, total, why] of table) {
    test(`${JSON.stringify({ ...known, issuedAt: (known.issuedAt ?? noon) - noon })}: ${why}`, () => {
      const life = planLife(known, start, 60, middle)
      assert.equal(life.endsAt, at(total))
      assert.equal(life.endsAtMonotonic - start.monotonic, total * minute)
      assert.ok(Math.abs(life.endsAt - life.dueBeforeEnd - at(due)) < 1, 'due')
      assert.equal(life.endsAt - life.minRemaining, at(expired))
    })
  }

  test('has no jitter besides that of the replica that planned it', () => {
    const known = { expiresIn: 3600, issuedAt: noon - hour / 2, refreshAt: noon + hour / 4 }
    const random = () => assert.fail('no new jitter')
    const { endsAt, dueBeforeEnd } = planLife(known, start, 60, random)
    assert.equal(endsAt - dueBeforeEnd, known.refreshAt)
  })
})

describe('jitter', () => {
  const table: readonly [known: Lifetime, least: number, most: number, why: string][] = [
    [{ expiresIn: 3600 }, 2430, 2970, '10 % of 45 minutes either way'],
    [{ expiresIn: 60 }, 27, 33, '10 % of 30 seconds either way'],
    [{ expiresIn: 3600, refreshIn: 1800 }, 1620, 1980, "10 % of the issuer's suggestion either way"],
    [{ expiresIn: 3600, refreshIn: 3600 }, 3240, 3363, 'never beyond 95 % of the usable life'],
  ]
  for (const [known, least, most, why] of table) {
    test(`${JSON.stringify(known)} is due after ${least} to ${most} s: ${why}`, () => {
      assert.ok(Math.abs(ages(known, lowest).due - least) < 0.01)
      assert.ok(Math.abs(ages(known, highest).due - most) < 0.01)
    })
  }

  test('it does not change the end', () => {
    assert.equal(ages({ expiresIn: 3600 }, lowest).total, 3600)
    assert.equal(ages({ expiresIn: 3600 }, highest).expired, 3540)
  })
})

describe('a token of an hour', () => {
  const life = planLife({ expiresIn: 3600 }, start, 60, middle)
  const table: readonly [age: number, state: Freshness, why: string][] = [
    [0, 'fresh', 'just fetched'],
    [2_699_999, 'fresh', 'a millisecond before 75 %'],
    [2_700_000, 'due', 'at 75 %'],
    [3_539_999, 'due', 'a millisecond more than a minute left'],
    [3_540_000, 'expired', 'a minute left'],
    [3_600_000, 'expired', 'ended'],
    [86_400_000, 'expired', 'a day later'],
  ]
  for (const [age, state, why] of table) {
    test(`is ${state} after ${age} ms: ${why}`, () => {
      const moment = { now: start.now + age, monotonic: start.monotonic + age }
      assert.equal(freshness(life, remainingMs(life, moment)), state)
    })
  }

  const clocks: readonly [wall: number, elapsed: number, state: Freshness, why: string][] = [
    [3_600_000, 0, 'expired', 'the wall clock alone: the machine slept, or its clock was wrong'],
    [0, 3_600_000, 'expired', 'the monotonic clock alone: the wall clock was set back'],
    [-86_400_000, 0, 'fresh', 'a wall clock that jumps back makes nothing older'],
    [-86_400_000, 2_700_000, 'due', 'and keeps no token fresh'],
    [2_700_000, 0, 'due', 'the wall clock alone makes it due'],
  ]
  for (const [wall, elapsed, state, why] of clocks) {
    test(`is ${state} ${wall} ms later by the wall, ${elapsed} ms by the monotonic clock: ${why}`, () => {
      const moment = { now: start.now + wall, monotonic: start.monotonic + elapsed }
      assert.equal(freshness(life, remainingMs(life, moment)), state)
    })
  }
})

describe('failed refreshes back off', () => {
  const hour = 60 * 60_000
  const table: readonly [failures: number, usable: number, most: number, why: string][] = [
    [1, 14 * 60_000, 15_000, 'the first, of a token of an hour that has just become due'],
    [2, 14 * 60_000, 30_000, 'twice as long'],
    [5, hour, 240_000, 'the last below five minutes'],
    [6, hour, 300_000, 'five minutes at most'],
    [60, hour, 300_000, 'five minutes for ever'],
    [5000, hour, 300_000, 'also where the power of two is infinite'],
    [6, 14 * 60_000, 210_000, 'a quarter of what is left, if that is less'],
    [1, 60_000, 15_000, 'a minute is left: the first wait is a quarter of it already'],
    [1, 59_000, 14_750, 'less than a minute'],
    [3, 59_000, 14_750, 'after any number of failures'],
    [1, 24_000, 6_000, 'a token that lives for a minute'],
    [1, 800, 200, 'a token that lives for two seconds'],
    [1, 400, 200, 'its last moments: 200 ms or more, or the last tries would come all at once'],
    [1, 0, 200, 'expired'],
    [1, -5000, 200, 'long expired'],
  ]
  for (const [failures, usable, most, why] of table) {
    test(`failure ${failures} with ${usable} ms left waits up to ${most} ms, full jitter: ${why}`, () => {
      assert.equal(refreshBackOffMs(failures, usable, lowest), 0)
      assert.equal(refreshBackOffMs(failures, usable, middle), most / 2)
      assert.ok(refreshBackOffMs(failures, usable, highest) <= most)
    })
  }
})
