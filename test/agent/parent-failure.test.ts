import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorTable } from '../../src/errors.ts'
import { parentFailure } from '../../src/agent/parent-failure.ts'
import { noon } from '../support/clock.ts'

const problem = (code: string, more: object = {}) =>
  JSON.stringify({ code, detail: 'What is wrong.', request_id: 'abc-1', ...more })
const failure = (status: number, text: string, retryAfter?: string) => parentFailure({ status, text, retryAfter }, noon)

const passedOn = Object.entries(errorTable).filter(([, { status }]) => [400, 401, 403, 422, 502, 503].includes(status))
describe('a refusal of the broker is passed on under its own code', () => {
  for (const [code, { status }] of passedOn)
    test(`${status} ${code}`, () => {
      const error = failure(status, problem(code, { remedy: 'Do this.' }))
      assert.deepEqual([error.code, error.status], [code, status])
      assert.match(error.message, /What is wrong\.$/)
      assert.equal(error.parts.remedy, 'Do this. (request_id of the broker: abc-1)')
    })
  test('there are such codes', () => assert.ok(passedOn.length > 10))
})

const page = '<html>'
const others: readonly (readonly [
  why: string,
  status: number,
  text: string,
  retryAfter: string | undefined,
  code: string,
  waits: number | undefined,
])[] = [
  ['503 with Retry-After', 503, problem('upstream_unavailable'), '7', 'upstream_unavailable', 7],
  ['429 of whatever code', 429, problem('whatever'), '9', 'upstream_unavailable', 9],
  ['429 of a proxy', 429, page, undefined, 'upstream_unavailable', 1],
  ['403 of a proxy', 403, page, undefined, 'not_permitted', undefined],
  ['401 of a proxy', 401, '', undefined, 'invalid_token', undefined],
  ['400 of a proxy', 400, '', undefined, 'invalid_request', undefined],
  ['422 of another version', 422, problem('new_code'), undefined, 'upstream_rejected', undefined],
  ['a code that has another status', 403, problem('invalid_request'), undefined, 'not_permitted', undefined],
  ['a code like a property of every object', 403, problem('constructor'), undefined, 'not_permitted', undefined],
  ['500: its own failure is not ours', 500, problem('internal_error'), undefined, 'upstream_unavailable', 1],
  ['502 of a proxy', 502, page, undefined, 'upstream_unavailable', 1],
  ['404: this is no broker', 404, problem('not_found'), undefined, 'upstream_invalid', undefined],
  ['a redirect', 307, '', undefined, 'upstream_invalid', undefined],
  ['a success without a token', 204, '', undefined, 'upstream_invalid', undefined],
]
describe('the status decides about a response of something else', () => {
  for (const [why, status, text, retryAfter, code, waits] of others)
    test(`${why}: ${code}`, () => {
      const error = failure(status, text, retryAfter)
      assert.deepEqual([error.code, error.retryAfter], [code, waits])
    })
})

test('its words are cut to a length, and hold no line break', () => {
  const { message } = failure(403, problem('not_permitted', { detail: `a\n${'b'.repeat(5000)}` }))
  assert.equal(message.length, 2000)
  assert.ok(!message.includes('\n'))
})

describe("what it reports of Entra's response is passed on if it has the right form", () => {
  const rows: readonly (readonly [why: string, upstream: unknown, expected: unknown])[] = [
    [
      'all of it',
      { error: 'invalid_grant', codes: [65001], trace_id: 'a-1', correlation_id: 'b-2' },
      { error: 'invalid_grant', codes: [65001], traceId: 'a-1', correlationId: 'b-2' },
    ],
    ['codes alone', { codes: [65001, 90002] }, { codes: [65001, 90002] }],
    ['what is no code', { codes: ['65001', 1.5, -1, 0, 1e9, null, 7] }, { codes: [7] }],
    [
      'more codes than Entra has ever sent',
      { codes: Array.from({ length: 1000 }, () => 1) },
      { codes: Array(8).fill(1) },
    ],
    ['an error that is not a word', { error: 'a\nb', trace_id: 'x'.repeat(65), codes: [] }, undefined],
    ['nothing', undefined, undefined],
    ['a text', 'AADSTS65001', undefined],
  ]
  for (const [why, upstream, expected] of rows)
    test(why, () => assert.deepEqual(failure(403, problem('consent_required', { upstream })).parts.upstream, expected))
})
