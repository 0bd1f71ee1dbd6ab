import { asBrokerError, BrokerError, type LimitFacts } from '../errors.ts'
import type { Authenticate, Caller, GetCertificate } from './authentication/authenticate.ts'
import type { Credential } from './authentication/credential.ts'
import type { TokenCache } from './tokens/cache.ts'
import type { Served } from './tokens/cached-token.ts'
import type { RateLimits } from './authorization/rate-limits.ts'
import type { TokenRequest } from './policy/model.ts'
import type { Authorize, Grant } from './authorization/authorize.ts'
import type { Events } from './events.ts'
import type { RequestFacts } from './lib/request-facts.ts'

/** A token that was issued to a caller, with the grant it was issued under. */
export interface Issued {
  readonly grant: Grant
  readonly served: Served
  /** The state of the caller's request limit; `undefined` if it has none. */
  readonly limit: LimitFacts | undefined
}

/** The data path of every token endpoint. An endpoint calls {@link authenticate} first, and then {@link issue}. */
export interface TokenService {
  /**
   * Throws, or rejects with, `unauthenticated`, `invalid_token`, `issuer_unavailable` or `rate_limited`.
   *
   * @param credential the bearer credential or the client secret, if the request has one
   * @param getCertificate reads the client certificate; absent if it does not count
   * @param connection identifies the connection
   */
  readonly authenticate: (
    credential: Credential | undefined,
    request: RequestFacts,
    getCertificate?: GetCertificate,
    connection?: object,
  ) => Caller | Promise<Caller>
  /**
   * Authenticates for an operations endpoint: as {@link authenticate}, but also users by delegated tokens, if a rule of the
   * policy lists these of the issuer. A user can have permissions, and never gets a token.
   */
  readonly authenticateOperator: TokenService['authenticate']
  /** Throws `not_permitted`, `identity_unavailable` or `rate_limited`; rejects with the errors of {@link TokenCache.get}. */
  readonly issue: (caller: Caller, tokenRequest: TokenRequest, request: RequestFacts) => Issued | Promise<Issued>
}

/** The parts that decide before the cache is read. */
export interface TokenServiceParts {
  readonly authenticate: Authenticate
  readonly authorize: Authorize
  readonly limits: Pick<RateLimits, 'chargeRequest'>
}

/**
 * Connects the stations of a request. It awaits nothing that is available at once: a cached token for a cached caller is
 * returned in the same turn of the event loop. Every token that is issued and every error is reported once.
 */
export function createTokenService(
  { authenticate, authorize, limits }: TokenServiceParts,
  cache: TokenCache,
  events: Pick<Events, 'issued' | 'refused' | 'unauthenticated'>,
): TokenService {
  const reportIssued = (request: RequestFacts, grant: Grant, limit: LimitFacts | undefined) => (served: Served) => {
    events.issued(request, grant, served.token, served.how)
    return { grant, served, limit }
  }

  const authenticateAs =
    (accept: (caller: Caller) => Caller): TokenService['authenticate'] =>
    (credential, request, getCertificate, connection) => {
      const reject = (thrown: unknown): never => {
        const error = asBrokerError(thrown)
        events.unauthenticated(request, error)
        throw error
      }
      try {
        // Who is the caller?
        const caller = authenticate(credential, getCertificate, request.address, connection)
        return caller instanceof Promise ? caller.then(accept).catch(reject) : accept(caller)
      } catch (thrown) {
        return reject(thrown)
      }
    }

  return {
    authenticate: authenticateAs(requireApplication),
    authenticateOperator: authenticateAs(caller => caller),

    issue(caller, tokenRequest, request) {
      let grant: Grant | undefined
      let limit: LimitFacts | undefined
      let served: Served | Promise<Served>
      const refuse = (thrown: unknown): never => {
        const error = asBrokerError(thrown)
        events.refused(request, caller, tokenRequest, error, grant)
        throw error
      }
      try {
        // May the caller get this token?
        grant = authorize(caller, tokenRequest)
        // May it make another request now?
        limit = limits.chargeRequest(grant)
        // Is the token cached, or can it be fetched?
        served = cache.get(grant, tokenRequest.minExpiresIn)
      } catch (thrown) {
        return refuse(thrown)
      }
      // Who has to know that it was issued?
      const issued = reportIssued(request, grant, limit)
      return served instanceof Promise ? served.then(issued, refuse) : issued(served)
    },
  }
}

/** Tokens are issued to applications only, whatever the policy says about a user. */
function requireApplication(caller: Caller): Caller {
  if (caller.kind !== 'jwt' || caller.user === undefined) return caller
  const detail = 'A delegated token (scp) acts for a user; tokens are issued to applications only.'
  throw new BrokerError('invalid_token', detail, { reason: 'delegated' })
}
