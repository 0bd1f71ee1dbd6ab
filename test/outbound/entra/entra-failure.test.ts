import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grantFor } from '../../support/callers.ts'
import { exchangeFailure, readId, readRetryAfter, retryAfterPart } from '../../../src/outbound/entra/entra-failure.ts'

const now = Date.parse('2026-11-22T12:00:00Z')
const rows: readonly (readonly [value: string | undefined, seconds: number | undefined, why: string])[] = [
  [undefined, undefined, 'nothing said'],
  ['5', 5, 'seconds'],
  ['1', 1, 'the least'],
  ['0', 1, 'at once would be hammering'],
  ['300', 300, 'the most that is believed'],
  ['301', 300, 'more than is believed'],
  ['999999999', 300, 'nine digits are read'],
  ['9999999999', undefined, 'ten digits are no number of seconds'],
  ['-5', 1, 'before now'],
  ['1.5', 1, 'no fraction (RFC 9110 §10.2.3)'],
  ['', undefined, 'empty'],
  ['soon', undefined, 'a word'],
  ['5 seconds', undefined, 'a unit'],
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

const silent: readonly (readonly [status: number, seconds: number | undefined, why: string])[] = [
  [429, 1, 'a limit'],
  [400, 1, 'a code that says that it passes: mostly a limit too'],
  [408, undefined, 'a time-out'],
  [500, undefined, "a server's error"],
  [503, undefined, 'the same'],
  [200, undefined, 'a response that cannot be used'],
]
for (const [status, seconds, why] of silent)
  test(`HTTP ${status} without Retry-After: ${seconds} s (${why})`, () => {
    assert.deepEqual(retryAfterPart(status, undefined, now), seconds === undefined ? {} : { retryAfter: seconds })
    assert.deepEqual(retryAfterPart(status, '5', now), { retryAfter: 5 })
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

const circumstances = { authority: 'https://login.example', assertion: 'x', target: grantFor() }
const refusals: readonly (readonly [body: object, code: string, codes: readonly number[], why: string])[] = [
  [
    { error: 'invalid_client', error_codes: [700213] },
    'federation_misconfigured',
    [700213],
    'numbers, as Entra writes',
  ],
  [{ error: 'x', error_codes: ['700213'] }, 'federation_misconfigured', [700213], 'numbers written as text'],
  [
    { error: 'x', error_description: 'AADSTS7000229: the client …' },
    'consent_required',
    [7000229],
    'the number of the description, where there is no list',
  ],
  [{ error: 'x', error_codes: [1], error_description: 'AADSTS90002: …' }, 'upstream_rejected', [1], 'the list counts'],
  [{ error: 'x', error_description: 'see AADSTS90002' }, 'upstream_rejected', [], 'a number somewhere in the text'],
  [{ error: 'invalid_client' }, 'federation_misconfigured', [], 'without a code, the client is what is wrong'],
  [{ error: 'unauthorized_client' }, 'consent_required', [], 'without a code, the tenant does not admit the client'],
  [{ error: 'invalid_scope' }, 'upstream_rejected', [], 'without a code, the scope is wrong'],
  [{ error: 'server_error' }, 'upstream_unavailable', [], 'a server error with a client status'],
]
for (const [body, code, codes, why] of refusals)
  test(`a 400 with ${JSON.stringify(body)} is ${code}: ${why}`, () => {
    const seen = { status: 400, body: JSON.stringify(body), header: () => undefined, correlationId: undefined }
    const error = exchangeFailure(seen, undefined, circumstances, now)
    assert.equal(error.code, code)
    assert.deepEqual(error.parts.upstream?.codes, codes)
  })
