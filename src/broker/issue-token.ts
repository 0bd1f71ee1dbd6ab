import { asBrokerError, type LimitFacts } from '../errors.ts'
import type { Authenticate, Caller, GetCertificate } from './authentication/authenticate.ts'
import type { Served, TokenCache } from './tokens/cache.ts'
import type { RateLimits } from './authorization/rate-limits.ts'
import type { TokenRequest } from './policy/model.ts'
import type { Authorize, Grant } from './authorization/authorize.ts'
import type { Events } from './events.ts'
import type { RequestFacts } from './lib/request-facts.ts'

/** A token for a caller, with the permission it is handed out under. */
export interface Issued {
  readonly grant: Grant
  readonly served: Served
  /** How the caller's limit of requests stands, where it has one. */
  readonly limit: LimitFacts | undefined
}

/** The data path: what every endpoint that hands out a token calls, in this order. */
export interface TokenService {
  /**
   * Rejects with `unauthenticated`, `invalid_token`, `issuer_unavailable`.
   *
   * @param token the bearer credential, where one came
   * @param certificate looks up the client certificate, where one may have come
   */
  readonly authenticate: (
    token: string | undefined,
    request: RequestFacts,
    certificate?: GetCertificate,
  ) => Caller | Promise<Caller>
  /** Rejects with `not_permitted`, `rate_limited` and whatever Entra or the managed identity stand in the way with. */
  readonly issue: (caller: Caller, ask: TokenRequest, request: RequestFacts) => Issued | Promise<Issued>
}

/** Who decides before anything is looked up. */
export interface TokenServiceParts {
  readonly authenticate: Authenticate
  readonly authorize: Authorize
  readonly limits: Pick<RateLimits, 'chargeRequest'>
}

/**
 * Plugs the path together: who are you → may you have it, so often → here it is. Nothing is awaited that is already there: a
 * remembered caller with a cached token is served in the same turn of the event loop. Every outcome is announced once.
 */
export function createTokenService(
  { authenticate, authorize, limits }: TokenServiceParts,
  cache: TokenCache,
  events: Pick<Events, 'issued' | 'refused' | 'unauthenticated'>,
): TokenService {
  const reject = (request: RequestFacts, thrown: unknown): never => {
    const error = asBrokerError(thrown)
    events.unauthenticated(request, error)
    throw error
  }
  const refuse = (request: RequestFacts, caller: Caller, ask: TokenRequest, thrown: unknown, grant?: Grant): never => {
    const error = asBrokerError(thrown)
    events.refused(request, caller, ask, error, grant)
    throw error
  }
  const handOut = (request: RequestFacts, grant: Grant, served: Served, limit: LimitFacts | undefined): Issued => {
    events.issued(request, grant, served.token, served.how)
    return { grant, served, limit }
  }
  const grantFor = (request: RequestFacts, caller: Caller, ask: TokenRequest) => {
    let grant: Grant | undefined
    try {
      grant = authorize(caller, ask)
      return { grant, limit: limits.chargeRequest(grant) }
    } catch (thrown) {
      return refuse(request, caller, ask, thrown, grant)
    }
  }

  return {
    authenticate(token, request, certificate) {
      try {
        // Who is asking?
        const caller = authenticate(token, certificate, request.address)
        return caller instanceof Promise ? caller.catch(thrown => reject(request, thrown)) : caller
      } catch (thrown) {
        return reject(request, thrown)
      }
    },

    issue(caller, ask, request) {
      // May this caller have this token, and as often?
      const { grant, limit } = grantFor(request, caller, ask)
      // Is it here, or can it be had?
      const served = cache.get(grant, ask.minExpiresIn)
      if (!(served instanceof Promise)) return handOut(request, grant, served, limit)
      return served.then(
        fetched => handOut(request, grant, fetched, limit),
        thrown => refuse(request, caller, ask, thrown, grant),
      )
    },
  }
}
