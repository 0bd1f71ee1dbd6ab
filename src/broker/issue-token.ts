import { asBrokerError, BrokerError } from '../errors.ts'
import type { Authenticate, Caller } from './authenticate.ts'
import type { Served, TokenCache } from './cache.ts'
import type { Ask, Authorize, Grant } from './policy.ts'
import type { Events, RequestFacts } from './types.ts'

/** A token for a caller, with the permission it is handed out under. */
export interface Issued {
  readonly grant: Grant
  readonly served: Served
}

/** The data path: what every endpoint that hands out a token calls, in this order. */
export interface TokenIssuer {
  /** Rejects with `unauthenticated`, `invalid_token`, `issuer_unavailable`. */
  readonly authenticate: (credential: string | undefined, request: RequestFacts) => Caller | Promise<Caller>
  /** Rejects with `not_permitted` and whatever Entra or the managed identity stand in the way with. */
  readonly issue: (caller: Caller, ask: Ask, request: RequestFacts) => Issued | Promise<Issued>
}

/**
 * Plugs the path together: who are you → may you have it → here it is. Nothing is awaited that is already there: a
 * remembered caller with a cached token is served in the same turn of the event loop. Every outcome is announced once.
 */
export function createTokenIssuer(
  authenticate: Authenticate,
  authorize: Authorize,
  cache: TokenCache,
  events: Pick<Events, 'issued' | 'refused' | 'unauthenticated'>,
): TokenIssuer {
  const reject = (request: RequestFacts, thrown: unknown): never => {
    const error = asBrokerError(thrown)
    events.unauthenticated(request, error)
    throw error
  }
  const refuse = (request: RequestFacts, caller: Caller, ask: Ask, thrown: unknown, grant?: Grant): never => {
    const error = asBrokerError(thrown)
    events.refused(request, caller, ask, error, grant)
    throw error
  }
  const handOut = (request: RequestFacts, grant: Grant, served: Served): Issued => {
    events.issued(request, grant, served.token, served.how)
    return { grant, served }
  }
  const permit = (request: RequestFacts, caller: Caller, ask: Ask): Grant => {
    try {
      return authorize(caller, ask)
    } catch (thrown) {
      return refuse(request, caller, ask, thrown)
    }
  }

  return {
    authenticate(credential, request) {
      if (credential === undefined) return reject(request, missingCredential())
      try {
        // Who is asking?
        const caller = authenticate(credential)
        return caller instanceof Promise ? caller.catch(thrown => reject(request, thrown)) : caller
      } catch (thrown) {
        return reject(request, thrown)
      }
    },

    issue(caller, ask, request) {
      // May this caller have this token?
      const grant = permit(request, caller, ask)
      // Is it here, or can it be had?
      const served = cache.get(grant, ask.minExpiresIn)
      if (!(served instanceof Promise)) return handOut(request, grant, served)
      return served.then(
        fetched => handOut(request, grant, fetched),
        thrown => refuse(request, caller, ask, thrown, grant),
      )
    },
  }
}

const missingCredential = () => new BrokerError('unauthenticated', 'Send "Authorization: Bearer <token or API key>".')
