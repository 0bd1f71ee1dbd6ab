import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { maxDecisions } from '../../src/telemetry/recent-decisions.ts'
import { captionOf, groupDecisions, mostKept, readText } from '../../web/model/decisions.js'
import { decisionAt } from './decisions.ts'

describe('the number of denied and failed requests', () => {
  const rows: readonly (readonly [number, Parameters<typeof readText>[1], text: string, why: string])[] = [
    [0, 'all', '0 requests', 'none'],
    [1, 'all', '1 request', 'all that there are'],
    [200, 'newest', 'the newest 200 requests', 'there are older ones'],
    [499, 'all', '499 requests', 'the broker has kept all'],
    [500, 'all', 'the newest 500 requests', 'the broker may have forgotten older ones'],
    [40, 'filtered', '40 requests among the newest 500', 'older ones are not searched'],
  ]
  for (const [number, which, text, why] of rows)
    test(`${number}, ${which}: ${text} (${why})`, () => assert.equal(readText(number, which), text))

  test('is limited as in the broker', () => assert.equal(mostKept, maxDecisions))
})

describe('the table of denied and failed requests', () => {
  for (const [shown, total, text] of [
    [50, 50, 'Denied and failed requests, the newest first'],
    [50, 51, 'Denied and failed requests, the newest first: 50 of 51 rows'],
  ] as const)
    test(`with ${shown} of ${total} rows: ${text}`, () => assert.equal(captionOf(shown, total), text))

  test('has one row for requests that differ in time, id and address only', () => {
    const at = (seconds: number) => decisionAt(seconds * 1000 + 10_000)
    const decisions = [
      at(3),
      { ...at(2), address: '10.0.0.2', request_id: 'x' },
      { ...at(1), reason: 'denied' as const },
    ]
    assert.deepEqual(
      groupDecisions(decisions).map(({ last, count, since }) => [last.reason, count, since]),
      [
        ['no_rule', 2, '1970-01-01T00:00:02.000Z'],
        ['denied', 1, '1970-01-01T00:00:01.000Z'],
      ],
    )
  })
})
