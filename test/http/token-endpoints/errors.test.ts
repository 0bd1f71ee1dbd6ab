import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError, type ErrorCode, errorTable } from '../../../src/errors.ts'
import { problemDetails } from '../../../src/http/server/problems.ts'
import { tokenEndpoints } from '../../../src/http/token-endpoints/all.ts'

/**
 * Every code in every protocol but problem details. test/docs/clients.test.ts compares the status and the error of each
 * with docs/clients.md.
 */

const codes = Object.keys(errorTable) as ErrorCode[]
const request = { id: 'abc-1', body: undefined, headers: {} }
const protocols = new Map(tokenEndpoints().map(({ protocol }) => [protocol.errorSchema, protocol]))
protocols.delete(problemDetails.errorSchema)
const write = (name: string, code: ErrorCode, parts = {}) => {
  const protocol = protocols.get(name)
  assert.ok(protocol, name)
  return protocol.writeError(new BrokerError(code, 'What is "wrong"\\here: Zürich\n', parts), request)
}

/** Codes by class, with the response of each protocol: problem details, OAuth, Entra, identity. */
const classes: readonly (readonly [codes: readonly ErrorCode[], ...responses: readonly string[]])[] = [
  [['invalid_request', 'invalid_tenant'], '400', '400 invalid_request', '400 invalid_request', '400'],
  [['invalid_scope'], '400', '400 invalid_scope', '400 invalid_scope', '400'],
  [['unauthenticated', 'invalid_token'], '401', '401 invalid_client', '401 invalid_client', '401'],
  [['not_permitted', 'consent_required'], '403', '400 unauthorized_client', '400 unauthorized_client', '403'],
  [['upstream_rejected'], '422', '400 invalid_target', '400 invalid_target', '400'],
  [['federation_misconfigured', 'upstream_invalid'], '502', '500 server_error', '400 invalid_request', '400'],
  [
    ['upstream_unavailable', 'identity_unavailable', 'issuer_unavailable', 'overloaded'],
    '503',
    '503 temporarily_unavailable',
    '503 temporarily_unavailable',
    '503',
  ],
  [['rate_limited'], '429', '429 temporarily_unavailable', '429 temporarily_unavailable', '429'],
  [['not_found'], '404', '404 invalid_request', '404 invalid_request', '400'],
  [['method_not_allowed'], '405', '405 invalid_request', '405 invalid_request', '400'],
  [['request_timeout'], '408', '408 invalid_request', '408 invalid_request', '408'],
  [['too_large'], '413', '413 invalid_request', '413 invalid_request', '413'],
  [['unsupported_media_type'], '415', '415 invalid_request', '415 invalid_request', '415'],
  [['headers_too_large'], '431', '431 invalid_request', '431 invalid_request', '431'],
  [['internal_error'], '500', '500 server_error', '500 server_error', '500'],
]
const columns = ['Problem', 'OAuthError', 'EntraError', 'IdentityError']

describe('every endpoint has the status and error of the table for every code: 5xx only where waiting helps, or for a bug', () => {
  test('the table has every code once, and a column for every protocol', () => {
    assert.deepEqual(classes.flatMap(([its]) => its).toSorted(), codes.toSorted())
    assert.deepEqual([...new Set(tokenEndpoints().map(({ protocol }) => protocol.errorSchema))], columns)
  })
  for (const { name, protocol } of tokenEndpoints())
    test(name, () => {
      const nth = columns.indexOf(protocol.errorSchema)
      // Entra's codes are the reason of most of these errors, and must not change the status.
      const upstream = { codes: [700213], traceId: 'x' }
      for (const [its, ...responses] of classes)
        for (const code of its)
          for (const parts of [{}, { upstream }]) {
            const { status, body } = protocol.writeError(new BrokerError(code, 'x', parts), request)
            const { error } = JSON.parse(body) as { error?: string }
            const response = responses[nth]
            assert.equal(response?.includes(' ') ? `${status} ${error}` : String(status), response, code)
          }
    })
})

describe('Retry-After has the value that clients of the protocol handle well', () => {
  for (const code of codes)
    test(code, () => {
      for (const retryAfter of [1, 2, 120]) {
        const parts = errorTable[code].retryable ? { retryAfter } : {}
        const [oauth, entra, identity] = ['OAuthError', 'EntraError', 'IdentityError'].map(name =>
          write(name, code, parts),
        )
        const short = String(Math.min(retryAfter, 2))
        // Unchanged: libraries do not wait by themselves.
        assert.equal(oauth?.headers['retry-after'], errorTable[code].retryable ? String(retryAfter) : undefined)
        // MSAL blocks its key for a minute after 5xx without it, and for as long as it says after any other 4xx.
        const isTransient = entra !== undefined && (entra.status === 429 || entra.status >= 500)
        const entraWait = errorTable[code].retryable ? short : '1'
        assert.equal(entra?.headers['retry-after'], isTransient ? entraWait : undefined)
        const waits = identity?.status === 429 || identity?.status === 503
        assert.equal(identity?.headers['retry-after'], waits ? short : undefined)
      }
    })
})

describe('no error makes Azure SDKs wait for a minute', () => {
  for (const code of codes)
    test(code, () => {
      const { status } = write('IdentityError', code)
      assert.ok(![404, 405, 410].includes(status), `${status}`)
      if (status >= 500) assert.ok(errorTable[code].retryable || code === 'internal_error', `${status}`)
    })
})

describe('the description has only the characters that RFC 6749 §5.2 allows, and the request id', () => {
  for (const name of protocols.keys())
    test(name, () => {
      for (const code of codes.filter(each => each !== 'unauthenticated' && each !== 'unsupported_media_type')) {
        const { error_description: description } = JSON.parse(
          write(name, code, { remedy: 'Do "this".' }).body,
        ) as Record<string, string>
        assert.equal(description, "What is 'wrong'/here: Z?rich? Do 'this'. (request_id abc-1)")
      }
    })
})

test('an error has the status of its code', () => {
  for (const [name, protocol] of protocols)
    for (const code of codes) assert.equal(write(name, code).status, protocol.statusOf(code), `${name} ${code}`)
})

test('no error contains its cause or reason', () => {
  for (const name of protocols.keys())
    for (const code of codes) {
      const { body, headers } = write(name, code, { cause: new Error('secret-cause'), reason: 'unknown_target' })
      const text = body + JSON.stringify(headers)
      assert.ok(!text.includes('secret-') && !text.includes('unknown_target'), `${name} ${code}`)
    }
})
