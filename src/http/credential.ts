import type { FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import type { Caller } from '../broker/authenticate.ts'
import type { TokenIssuer } from '../broker/issue-token.ts'
import type { RequestFacts } from '../broker/types.ts'
import { asBrokerError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set once the request is authenticated. */
    caller: Caller | undefined
    /** What is announced with the request's outcome. */
    facts: RequestFacts | undefined
  }
}

/** An authenticated request. */
export interface Authenticated {
  readonly caller: Caller
  readonly facts: RequestFacts
}

/**
 * Where a request's headers hold a credential. `undefined`: none, or none of the right kind. May throw a BrokerError for
 * a request that is not to be authenticated at all.
 */
export type CredentialOf = (request: FastifyRequest) => string | undefined

/**
 * Authenticates a request before its body is read (`onRequest`), by its headers. Fails with `unauthenticated`,
 * `invalid_token`, `issuer_unavailable`.
 *
 * @param endpoint the name under which the outcome is announced
 */
export const authenticateFor =
  (endpoint: string, issuer: Authenticator, credential: CredentialOf = bearer): onRequestHookHandler =>
  (request, _reply, done: HookHandlerDoneFunction) =>
    authenticateBy(() => credential(request), request, endpoint, issuer, done)

type Authenticator = Pick<TokenIssuer, 'authenticate'>

/** Authenticates a request by the credential that is found in it, and remembers who asks. */
export function authenticateBy(
  credential: () => string | undefined,
  request: FastifyRequest,
  endpoint: string,
  { authenticate }: Authenticator,
  done: HookHandlerDoneFunction,
): void {
  const facts = { requestId: request.id, endpoint, address: request.socket.remoteAddress ?? '' }
  const admit = (caller: Caller): void => {
    request.caller = caller
    request.facts = facts
    done()
  }
  try {
    const caller = authenticate(credential(), facts)
    if (caller instanceof Promise) caller.then(admit, done)
    else admit(caller)
  } catch (thrown) {
    done(asBrokerError(thrown))
  }
}

/** What {@link authenticateFor} found out; a route without it must not get here. */
export function authenticated({ caller, facts }: FastifyRequest): Authenticated {
  if (caller === undefined || facts === undefined) {
    throw new Error('the handler ran for a request that nobody authenticated')
  }
  return { caller, facts }
}

/** The credential of an `Authorization: Bearer` header (RFC 6750 §2.1), whatever it is worth. */
export function bearer({ headers: { authorization: header } }: FastifyRequest): string | undefined {
  if (header === undefined) return undefined
  if (header.startsWith('Bearer ')) return header.slice('Bearer '.length).trim()
  return /^bearer +(.+)$/i.exec(header)?.[1]?.trim()
}
