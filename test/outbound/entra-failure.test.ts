import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readId, readRetryAfter } from '../../src/outbound/entra-failure.ts'

const now = Date.parse('2026-11-22T12:00:00Z')
const rows: readonly (readonly [value: string | undefined, seconds: number, why: string])[] = [
  [undefined, 1, 'nothing said: soon'],
  ['5', 5, 'seconds'],
  ['1', 1, 'the least'],
  ['0', 1, 'at once would be hammering'],
  ['300', 300, 'the most that is believed'],
  ['301', 300, 'more than is believed'],
  ['999999999', 300, 'nine digits are read'],
  ['9999999999', 1, 'ten digits are no number of seconds'],
  ['-5', 1, 'before now'],
  ['1.5', 1, 'no fraction (RFC 9110 §10.2.3)'],
  ['', 1, 'empty'],
  ['soon', 1, 'a word'],
  ['5 seconds', 1, 'a unit'],
  ['Sun, 22 Nov 2026 12:00:30 GMT', 30, 'a date'],
  ['Sunday, 22-Nov-26 12:00:30 GMT', 30, 'a date in the obsolete form of RFC 850'],
  ['Sun, 22 Nov 2026 12:00:00 GMT', 1, 'now'],
  ['Sun, 22 Nov 2026 11:00:00 GMT', 1, 'a date that has passed'],
  ['Mon, 23 Nov 2026 12:00:00 GMT', 300, 'a day'],
]
for (const [value, seconds, why] of rows)
  test(`Retry-After ${JSON.stringify(value)} is ${seconds} s: ${why}`, () => {
    assert.equal(readRetryAfter(value, now), seconds)
  })

const ids: readonly (readonly [value: unknown, known: boolean, why: string])[] = [
  ['b62f9f2f-ee18-4364-9429-6866d424b510', true, 'a GUID'],
  ['a'.repeat(64), true, 'the longest'],
  ['a'.repeat(65), false, 'longer'],
  ['', false, 'empty'],
  ['a b', false, 'a text'],
  ['a\nb', false, 'a second line in the log'],
  ['<b>', false, 'markup'],
  ['eyJhbGciOiJub25lIn0.eyJ9.', false, 'a token'],
  [5, false, 'a number'],
  [null, false, 'nothing'],
]
for (const [value, known, why] of ids)
  test(`${JSON.stringify(value)} is ${known ? 'an' : 'no'} id that may be repeated: ${why}`, () => {
    assert.equal(readId(value), known ? value : undefined)
  })
