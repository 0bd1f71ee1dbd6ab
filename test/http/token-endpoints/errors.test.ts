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
