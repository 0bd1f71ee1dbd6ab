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
const unavailable = new BrokerError('upstream_unavailable', 'unavailable')

interface Parts {
  readonly authenticate?: Authenticate
  readonly authorize?: Authorize
  readonly request?: RateLimits['chargeRequest']
  readonly cache?: TokenCache
}

/** A token service that permits and issues everything, except for `parts`, with the events that it reported and the parts that it called. */
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
  const service = createTokenService(
    {
      authenticate: credential => called('authenticate', authenticate)(credential),
      authorize: (who, wanted) => called('authorize', authorize)(who, wanted),
      limits: { chargeRequest: given => called('limits', count)(given) },
    },
    { get: (given, min) => called('cache', cache).get(given, min) },
    events,
  )
  return { service, happened, calls }
}

const fails = (failure: unknown): TokenCache => ({
  get: async () => {
    throw failure
  },
})

describe('who is the caller', () => {
  test('a cached caller is returned at once, and nothing is reported yet', () => {
    const { service, happened } = setUp()
    assert.equal(service.authenticate('token', request), caller)
    assert.deepEqual(happened, [])
  })

  test('a caller that is verified first is returned later', async () => {
    const { service, happened } = setUp({ authenticate: () => Promise.resolve(caller) })
    assert.equal(await service.authenticate('token', request), caller)
    assert.deepEqual(happened, [])
  })

  test('a refusal without waiting is reported once', () => {
    const missing = new BrokerError('unauthenticated', 'nothing came')
    const { service, happened } = setUp({
      authenticate: () => {
        throw missing
      },
    })
    assert.throws(() => service.authenticate(undefined, request), missing)
    assert.deepEqual(
      happened.map(([what]) => what),
      ['unauthenticated'],
    )
  })

  test('an empty credential is refused', async () => {
    const { service } = setUp({ authenticate: () => Promise.reject(refusedToken) })
    await assert.rejects(async () => service.authenticate('', request), refusedToken)
  })

  test('a bad credential is reported once', async () => {
    const { service, happened } = setUp({ authenticate: () => Promise.reject(refusedToken) })
    await assert.rejects(async () => service.authenticate('token', request), refusedToken)
    assert.deepEqual(happened, [['unauthenticated', request, refusedToken]])
  })

  test('a bug is reported as internal_error, without its message', async () => {
    const { service, happened } = setUp({ authenticate: () => Promise.reject(new TypeError('secret')) })
    await assert.rejects(
      async () => service.authenticate('token', request),
      (thrown: unknown) =>
        thrown instanceof BrokerError && thrown.code === 'internal_error' && !thrown.message.includes('secret'),
    )
    assert.equal(happened.length, 1)
  })
})

describe('may the caller get this token, and where does it come from', () => {
  test('a cached token is issued without waiting, and reported once', async () => {
    const { cache, get } = cacheWorld()
    await get()
    const { service, happened, calls } = setUp({ cache })
    const issued = service.issue(caller, tokenRequest(), request)
    assert.ok(!(issued instanceof Promise))
    assert.equal(issued.grant, grant)
    assert.deepEqual(happened, [['issued', request, grant, issued.served.token, 'hit']])
    assert.deepEqual(calls, ['authorize', 'limits', 'cache'])
  })

  test('a fetched token is reported once it is available', async () => {
    const { service, happened } = setUp()
    const pending = service.issue(caller, tokenRequest(), request)
    assert.deepEqual(happened, [])
    const issued = await pending
    assert.deepEqual(happened, [['issued', request, grant, issued.served.token, 'miss']])
  })

  test('each caller of one fetch is reported', async () => {
    const { service, happened } = setUp()
    await Promise.all([service.issue(caller, tokenRequest(), request), service.issue(caller, tokenRequest(), request)])
    assert.deepEqual(
      happened.map(facts => facts.at(-1)),
      ['miss', 'collapsed'],
    )
  })

  test('what the policy refuses is reported once, and the cache is not called', () => {
    const authorize = () => {
      throw forbidden
    }
    const { service, happened, calls } = setUp({ authorize })
    const wanted = tokenRequest()
    assert.throws(() => service.issue(caller, wanted, request), forbidden)
    assert.deepEqual(happened, [['refused', request, caller, wanted, forbidden, undefined]])
    assert.deepEqual(calls, ['authorize'])
  })

  test('a failed fetch is reported once, with the grant', async () => {
    const { service, happened } = setUp({ cache: fails(unavailable) })
    const wanted = tokenRequest()
    await assert.rejects(async () => service.issue(caller, wanted, request), unavailable)
    assert.deepEqual(happened, [['refused', request, caller, wanted, unavailable, grant]])
  })

  test('a bug in the cache is reported once, as internal_error', async () => {
    const { service, happened } = setUp({ cache: fails(new TypeError('secret')) })
    await assert.rejects(async () => service.issue(caller, tokenRequest(), request), { code: 'internal_error' })
    assert.equal(happened.length, 1)
  })

  test('the requested remaining life reaches the cache', async () => {
    const requested: number[] = []
    const { cache } = cacheWorld()
    const { service } = setUp({
      cache: {
        get: (given, minExpiresIn) => {
          requested.push(minExpiresIn)
          return cache.get(given, minExpiresIn)
        },
      },
    })
    await service.issue(caller, tokenRequest({ minExpiresIn: 600 }), request)
    assert.deepEqual(requested, [600])
  })
})
