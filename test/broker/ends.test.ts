import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiKeyEnds, type EndState, endState, maxEnds, nearestEnds } from '../../src/broker/ends.ts'
import { noon } from '../support/clock.ts'

const day = 86_400_000

const table: readonly (readonly [why: string, leftMs: number, state: EndState])[] = [
  ['it ended long ago', -400 * day, 'ended'],
  ['it ended a moment ago', -1, 'ended'],
  ['an end is the first instant at which a key does not work', 0, 'ended'],
  ['it ends in a moment', 1, 'ends_soon'],
  ['it ends a moment before the threshold', 14 * day - 1, 'ends_soon'],
  ['exactly the threshold is left', 14 * day, 'valid'],
  ['it ends next year', 400 * day, 'valid'],
]
for (const [why, leftMs, state] of table)
  test(`${why}: ${state}`, () => assert.equal(endState(noon + leftMs, noon), state))

describe('the ends that are reported', () => {
  const end = (name: string, days: number) => ({ kind: 'api_key', name, endsAt: noon + days * day }) as const
  const names = (...ends: readonly ReturnType<typeof end>[]) => nearestEnds(ends, noon).map(({ name }) => name)

  test('come by their distance from now, in either direction', () => {
    const all = [end('next year', 400), end('years ago', -900), end('yesterday', -1), end('this week', 5)]
    assert.deepEqual(names(...all), ['yesterday', 'this week', 'next year', 'years ago'])
  })

  test('a hundred keys that ended long ago do not hide the one that ends next', () => {
    const old = Array.from({ length: maxEnds }, (_, nth) => end(`old ${nth}`, -1000 - nth))
    const shown = names(...old, end('next', 300))
    assert.equal(shown.length, maxEnds)
    assert.equal(shown[0], 'next')
  })

  test('a key and its replacement are two ends of one name', () => {
    const key = { name: 'erp', sha256: '', expires: '' }
    assert.deepEqual(
      apiKeyEnds({
        apiKeys: [
          { ...key, expiresAt: 1 },
          { ...key, expiresAt: 2 },
        ],
      }),
      [
        { kind: 'api_key', name: 'erp', endsAt: 1 },
        { kind: 'api_key', name: 'erp', endsAt: 2 },
      ],
    )
  })
})
