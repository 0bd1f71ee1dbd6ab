import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failureOf, refusalOf } from '../../src/caller/token-refusal.ts'
import { BrokerError, errorTable } from '../../src/errors.ts'
import { exitCodes } from '../../src/exit.ts'

const problem = (code: string, more: object = {}) =>
  JSON.stringify({ code, detail: 'What is wrong.', request_id: 'abc-1', ...more })
const { refused, unavailable, configuration } = exitCodes

test('a refusal has status, code, detail, remedy, the time to wait and the request id, one a line', () => {
  const text = problem('rate_limited', { remedy: 'Do this.' })
  assert.deepEqual(refusalOf({ status: 429, text, retryAfter: '7' }).message.split('\n'), [
    'the broker cannot issue the token now: HTTP 429 rate_limited',
    'What is wrong.',
    'remedy: Do this.',
    'retry after: 7 s',
    'request id: abc-1',
  ])
})

describe('the exit code says whether a later attempt may succeed', () => {
  for (const [code, { status, retryable }] of Object.entries(errorTable))
    test(`${status} ${code}`, () => {
      const { exitCode } = refusalOf({ status, text: problem(code), retryAfter: undefined })
      assert.equal(exitCode, retryable ? unavailable : refused)
    })

  const strangers: readonly (readonly [status: number, text: string, exitCode: number, why: string])[] = [
    [503, problem('new_code'), unavailable, 'a broker of another version'],
    [403, problem('new_code'), refused, 'the same'],
    [403, problem('constructor'), refused, 'a code like a property of every object'],
    [502, '<html>secret page', unavailable, 'a proxy'],
    [429, '', unavailable, 'a proxy that limits'],
    [302, '', refused, 'a page to sign in: following it would send the credential there'],
    [204, '', refused, 'no token'],
    [403, '{"code":"x"}', refused, 'a code without a detail'],
    [403, 'null', refused, 'JSON, but no object'],
  ]
  for (const [status, text, exitCode, why] of strangers)
    test(`${status} ${text}: ${why}`, () => {
      const error = refusalOf({ status, text, retryAfter: undefined })
      assert.equal(error.exitCode, exitCode)
      assert.ok(!error.message.includes('secret page'))
    })
})

test('a text of the broker is one line, of limited length', () => {
  const text = problem('not_permitted', { detail: `a\nrequest id: forged\u001b[2J${'x'.repeat(9000)}`, remedy: 7 })
  const lines = refusalOf({ status: 403, text, retryAfter: '1\u001b[2J' }).message.split('\n')
  assert.equal(lines.length, 3)
  assert.match(lines[1] ?? '', /^a request id: forged \[2Jx+$/)
  assert.equal(lines[1]?.length, 2000)
})

describe('a request without a response', () => {
  const failures: readonly (readonly [error: BrokerError, exitCode: number, text: RegExp, why: string])[] = [
    [
      new BrokerError('upstream_unavailable', 'A.', { reason: 'network', cause: new Error('ECONNREFUSED') }),
      unavailable,
      /^A\.\ncause: ECONNREFUSED\nnote: HTTP_PROXY has no effect$/,
      'the cause, and what may have to do with it',
    ],
    [
      new BrokerError('upstream_unavailable', 'A.', { reason: 'network', cause: new Error('self-signed certificate') }),
      unavailable,
      /\nremedy: Name the file .* in --ca-file\./,
      'a private authority',
    ],
    [
      new BrokerError('upstream_invalid', 'A.', { reason: 'wrong_tenant', cause: new Error('secret') }),
      refused,
      /^A\.$/,
      'a response that was discarded: nothing of it is repeated',
    ],
    [
      new BrokerError('identity_unavailable', 'A.', { reason: 'file', cause: new Error('ENOENT') }),
      configuration,
      /^A\.\ncause: ENOENT$/,
      'a file that does not exist',
    ],
    [
      new BrokerError('identity_unavailable', 'A.', { reason: 'refused', remedy: 'B.', cause: new Error('secret') }),
      configuration,
      /^A\.\nremedy: B\.$/,
      'an identity that is not assigned: what the endpoint sent is not repeated',
    ],
    [
      new BrokerError('identity_unavailable', 'A.', { reason: 'status', cause: new Error('secret') }),
      unavailable,
      /^A\.$/,
      'an identity endpoint that fails',
    ],
  ]
  for (const [error, exitCode, text, why] of failures)
    test(`${error.code} ${error.reason}: ${why}`, () => {
      const ended = failureOf(error, ['HTTP_PROXY has no effect'])
      assert.equal(ended.exitCode, exitCode)
      assert.match(ended.message, text)
    })
})
