import type { FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import type { Caller } from '../../broker/authentication/authenticate.ts'
import type { TokenIssuer } from '../../broker/issue-token.ts'
import type { RequestFacts } from '../../broker/events.ts'
import { asBrokerError } from '../../errors.ts'

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
 * Where a request holds a bearer credential. `undefined`: none, or none of the right kind. May throw a BrokerError for a
 * request that is not to be authenticated at all.
 */
export type CredentialOf = (request: FastifyRequest) => string | undefined

/** How requests to an endpoint are authenticated. */
export interface Authentication {
  /** The name under which the outcome is announced. */
  readonly endpoint: string
  readonly issuer: Pick<TokenIssuer, 'authenticate'>
  /** Whether a client certificate cannot stand in for a credential that is not there. */
  readonly bearerOnly?: boolean | undefined
}

/**
 * Authenticates a request before its body is read (`onRequest`), by its headers. Fails with `unauthenticated`,
 * `invalid_token`, `issuer_unavailable`.
 */
export const authenticateFor =
  (authentication: Authentication, credential: CredentialOf = bearer): onRequestHookHandler =>
  (request, _reply, done: HookHandlerDoneFunction) =>
    authenticateBy(() => credential(request), request, authentication, done)

/**
 * Authenticates a request by the credential that is found in it or, where there is none, by its client certificate, and
 * remembers who asks. An `Authorization` header that is refused is not made good by a certificate, nor does a certificate
 * speak for a browser that a page of another site makes ask.
 */
export function authenticateBy(
  credential: () => string | undefined,
  request: FastifyRequest,
  { endpoint, issuer, bearerOnly = false }: Authentication,
  done: HookHandlerDoneFunction,
): void {
  const { peers } = request.server
  const facts = { requestId: request.id, endpoint, address: peers.addressOf(request) }
  const admit = (caller: Caller): void => {
    request.caller = caller
    request.facts = facts
    done()
  }
  try {
    const token = credential()
    const mayPresent = token !== undefined || (!bearerOnly && isOwnRequest(request))
    const caller = issuer.authenticate(token, facts, mayPresent ? () => peers.certificateOf(request) : undefined)
    if (caller instanceof Promise) caller.then(admit, done)
    else admit(caller)
  } catch (thrown) {
    done(asBrokerError(thrown))
  }
}

/**
 * Whether a request without a credential can be meant to be its certificate's holder's: it has no `Authorization` header,
 * and if a browser sends it, then not for another site (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
 */
function isOwnRequest({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'] ?? 'none'
  return headers.authorization === undefined && (site === 'none' || site === 'same-origin')
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
