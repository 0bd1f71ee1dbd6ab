import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Authenticate } from '../../src/broker/authentication/authenticate.ts'
import type { TokenCache } from '../../src/broker/tokens/cache.ts'
import { createTokenService } from '../../src/broker/issue-token.ts'
import type { RateLimits } from '../../src/broker/authorization/rate-limits.ts'
import type { Authorize } from '../../src/broker/authorization/authorize.ts'
import type { Events } from '../../src/broker/events.ts'
import type { RequestFacts } from '../../src/broker/lib/request-facts.ts'
import { BrokerError } from '../../src/errors.ts'
import { cacheWorld } from './tokens/cache-world.ts'
import { tokenRequest, callerWith, grantFor } from '../support/callers.ts'

const request: RequestFacts = { requestId: 'r1', endpoint: 'tokens', address: '127.0.0.1' }
const caller = await callerWith()
const grant = grantFor()
const forbidden = new BrokerError('not_permitted', 'no', { reason: 'no_rule' })
const refusedToken = new BrokerError('invalid_token', 'no', { reason: 'expired' })
const away = new BrokerError('upstream_unavailable', 'away')

interface Parts {
  readonly authenticate?: Authenticate
  readonly authorize?: Authorize
  readonly request?: RateLimits['chargeRequest']
  readonly cache?: TokenCache
}

/** An issuer that permits and serves everything but what `parts` say, with the list of what it announced and called. */
function setUp(parts: Parts = {}) {
  const happened: unknown[][] = []
  const events: Pick<Events, 'issued' | 'refused' | 'unauthenticated'> = {
    issued: (...facts) => happened.push(['issued', ...facts]),
    refused: (...facts) => happened.push(['refused', ...facts]),
    unauthenticated: (...facts) => happened.push(['unauthenticated', ...facts]),
  }
  const calls: string[] = []
  const called = <T>(name: string, value: T): T => {
    calls.push(name)
    return value
  }
  const { authenticate = () => caller, authorize = () => grant, request: count = () => undefined } = parts
  const { cache = cacheWorld().cache } = parts
  const issuer = createTokenService(
    {
      authenticate: credential => called('authenticate', authenticate)(credential),
      authorize: (who, ask) => called('authorize', authorize)(who, ask),
      limits: { chargeRequest: given => called('limits', count)(given) },
    },
    { get: (given, min) => called('cache', cache).get(given, min) },
    events,
  )
  return { issuer, happened, calls }
}

const fails = (failure: unknown): TokenCache => ({
  get: async () => {
    throw failure
  },
})

describe('who is asking', () => {
  test('a caller that is remembered costs no wait, and announces nothing yet', () => {
    const { issuer, happened } = setUp()
    assert.equal(issuer.authenticate('token', request), caller)
    assert.deepEqual(happened, [])
  })

  test('a caller that is verified first', async () => {
    const { issuer, happened } = setUp({ authenticate: () => Promise.resolve(caller) })
    assert.equal(await issuer.authenticate('token', request), caller)
    assert.deepEqual(happened, [])
  })

  test('a refusal that needs no wait is announced once', () => {
    const missing = new BrokerError('unauthenticated', 'nothing came')
    const { issuer, happened } = setUp({
      authenticate: () => {
        throw missing
      },
    })
    assert.throws(() => issuer.authenticate(undefined, request), missing)
    assert.deepEqual(
      happened.map(([what]) => what),
      ['unauthenticated'],
    )
  })

  test('an empty credential is a bad one', async () => {
    const { issuer } = setUp({ authenticate: () => Promise.reject(refusedToken) })
    await assert.rejects(async () => issuer.authenticate('', request), refusedToken)
  })

  test('a bad credential is announced once', async () => {
    const { issuer, happened } = setUp({ authenticate: () => Promise.reject(refusedToken) })
    await assert.rejects(async () => issuer.authenticate('token', request), refusedToken)
    assert.deepEqual(happened, [['unauthenticated', request, refusedToken]])
  })

  test('a bug is announced as internal_error and says nothing about itself', async () => {
    const { issuer, happened } = setUp({ authenticate: () => Promise.reject(new TypeError('secret')) })
    await assert.rejects(
      async () => issuer.authenticate('token', request),
      (thrown: unknown) =>
        thrown instanceof BrokerError && thrown.code === 'internal_error' && !thrown.message.includes('secret'),
    )
    assert.equal(happened.length, 1)
  })
})

describe('may this caller have this token, and here it is', () => {
  test('a token that is held is handed out without waiting, and announced once', async () => {
    const { cache, get } = cacheWorld()
    await get()
    const { issuer, happened, calls } = setUp({ cache })
    const issued = issuer.issue(caller, tokenRequest(), request)
    assert.ok(!(issued instanceof Promise))
    assert.equal(issued.grant, grant)
    assert.deepEqual(happened, [['issued', request, grant, issued.served.token, 'hit']])
    assert.deepEqual(calls, ['authorize', 'limits', 'cache'])
  })

  test('a token that is fetched is announced once it is there', async () => {
    const { issuer, happened } = setUp()
    const pending = issuer.issue(caller, tokenRequest(), request)
    assert.deepEqual(happened, [])
    const issued = await pending
    assert.deepEqual(happened, [['issued', request, grant, issued.served.token, 'miss']])
  })

  test('each caller of one fetch is announced', async () => {
    const { issuer, happened } = setUp()
    await Promise.all([issuer.issue(caller, tokenRequest(), request), issuer.issue(caller, tokenRequest(), request)])
    assert.deepEqual(
      happened.map(facts => facts.at(-1)),
      ['miss', 'collapsed'],
    )
  })

  test('what the policy refuses is announced once, and neither cache nor source hears of it', () => {
    const authorize = () => {
      throw forbidden
    }
    const { issuer, happened, calls } = setUp({ authorize })
    const ask = tokenRequest()
    assert.throws(() => issuer.issue(caller, ask, request), forbidden)
    assert.deepEqual(happened, [['refused', request, caller, ask, forbidden, undefined]])
    assert.deepEqual(calls, ['authorize'])
  })

  test('what cannot be had is announced once, with the grant', async () => {
    const { issuer, happened } = setUp({ cache: fails(away) })
    const ask = tokenRequest()
    await assert.rejects(async () => issuer.issue(caller, ask, request), away)
    assert.deepEqual(happened, [['refused', request, caller, ask, away, grant]])
  })

  test('a bug below is announced once, as internal_error', async () => {
    const { issuer, happened } = setUp({ cache: fails(new TypeError('secret')) })
    await assert.rejects(async () => issuer.issue(caller, tokenRequest(), request), { code: 'internal_error' })
    assert.equal(happened.length, 1)
  })

  test('the least remaining life reaches the cache', async () => {
    const asked: number[] = []
    const { cache } = cacheWorld()
    const { issuer } = setUp({
      cache: {
        get: (given, minExpiresIn) => {
          asked.push(minExpiresIn)
          return cache.get(given, minExpiresIn)
        },
      },
    })
    await issuer.issue(caller, tokenRequest({ minExpiresIn: 600 }), request)
    assert.deepEqual(asked, [600])
  })
})
