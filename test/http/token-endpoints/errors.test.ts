import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError, type ErrorCode, errorTable } from '../../../src/errors.ts'
import { entraProblem } from '../../../src/http/token-endpoints/entra-errors.ts'
import { identityProblem } from '../../../src/http/token-endpoints/identity-errors.ts'
import { oauthProblem } from '../../../src/http/token-endpoints/oauth-errors.ts'

/** Every code in every protocol of others. What status and word it has is compared with docs/clients.md elsewhere. */

const codes = Object.keys(errorTable) as ErrorCode[]
const request = { id: 'abc-1' }
const tellers = { oauth: oauthProblem, entra: entraProblem, identity: identityProblem }
const tell = (by: keyof typeof tellers, code: ErrorCode, parts = {}) =>
  tellers[by](new BrokerError(code, 'What is "wrong"\\here: Zürich\n', parts), request)

describe('Retry-After is what clients of the protocol make good use of', () => {
  for (const code of codes)
    test(code, () => {
      for (const retryAfter of [1, 2, 120]) {
        const parts = errorTable[code].retryable ? { retryAfter } : {}
        const [oauth, entra, identity] = (['oauth', 'entra', 'identity'] as const).map(by => tell(by, code, parts))
        const short = String(Math.min(retryAfter, 2))
        // As it is: libraries do not wait of themselves.
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

describe('an error is never one that makes Azure SDKs wait for a minute', () => {
  for (const code of codes)
    test(code, () => {
      const { status } = tell('identity', code)
      assert.ok(![404, 405, 410].includes(status), `${status}`)
      if (status >= 500) assert.ok(errorTable[code].retryable || code === 'internal_error', `${status}`)
    })
})

describe('its words are in the characters that RFC 6749 §5.2 allows, with the request id', () => {
  for (const by of ['oauth', 'entra', 'identity'] as const)
    test(by, () => {
      for (const code of codes.filter(each => each !== 'unauthenticated' && each !== 'unsupported_media_type')) {
        const { error_description: said } = JSON.parse(tell(by, code, { remedy: 'Do "this".' }).body) as Record<
          string,
          string
        >
        assert.equal(said, "What is 'wrong'/here: Z?rich? Do 'this'. (request_id abc-1)")
      }
    })
})

test('nothing of the cause is told, in any of them', () => {
  for (const by of ['oauth', 'entra', 'identity'] as const)
    for (const code of codes) {
      const { body, headers } = tell(by, code, { cause: new Error('secret-cause'), reason: 'secret-reason' })
      assert.ok(!(body + JSON.stringify(headers)).includes('secret-'), `${by} ${code}`)
    }
})
