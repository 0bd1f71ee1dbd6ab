import type { FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import type { Caller } from '../../broker/authentication/authenticate.ts'
import type { Credential } from '../../broker/authentication/credential.ts'
import type { TokenService } from '../../broker/issue-token.ts'
import type { RequestFacts } from '../../broker/lib/request-facts.ts'
import { asBrokerError } from '../../errors.ts'
import { traceIdOf } from '../server/observation/server-spans.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's caller; set once it is authenticated. */
    caller: Caller | undefined
    /** What events report about the request. */
    facts: RequestFacts | undefined
  }
}

/** An authenticated request. */
export interface Authenticated {
  readonly caller: Caller
  readonly facts: RequestFacts
}

/**
 * Finds the credential in a request; `undefined` if it has none, or none of the right kind. May throw a BrokerError for a
 * request that must not be authenticated at all.
 */
export type CredentialOf = (request: FastifyRequest) => Credential | undefined

/** How requests to an endpoint are authenticated. */
export interface Authentication {
  /** The endpoint's name in the events of the outcome. */
  readonly endpoint: string
  readonly tokenService: Pick<TokenService, 'authenticate'>
  /** Whether a client certificate does not count in place of a missing credential. */
  readonly bearerOnly?: boolean | undefined
  /** Called once a request is authenticated, before anything else happens to it. */
  readonly admitted?: ((request: FastifyRequest) => void) | undefined
  /** Whether a request's `Authorization` header is no credential, so that a client certificate counts beside it. */
  readonly isNoCredential?: (request: FastifyRequest) => boolean
}

/**
 * A hook that authenticates a request by its headers, before its body is read (`onRequest`). It fails with
 * `unauthenticated`, `invalid_token`, `rate_limited` or `issuer_unavailable`.
 */
export const authenticateFor =
  (authentication: Authentication, credential: CredentialOf = bearer): onRequestHookHandler =>
  (request, _reply, done: HookHandlerDoneFunction) =>
    authenticateBy(credential, request, authentication, done)

/**
 * Authenticates a request by its credential or, if it has none, by its client certificate, and sets the request's caller.
 * A certificate does not replace an `Authorization` header that is refused, and it does not authenticate a request that a
 * browser sends for a page of another site.
 */
export function authenticateBy(
  credential: CredentialOf,
  request: FastifyRequest,
  { endpoint, tokenService, bearerOnly = false, admitted, isNoCredential }: Authentication,
  done: HookHandlerDoneFunction,
): void {
  const { peers } = request.server
  const facts = { requestId: request.id, endpoint, address: peers.addressOf(request), traceId: traceIdOf(request) }
  try {
    const token = credential(request)
    const certificateCounts = token !== undefined || (!bearerOnly && isIntended(request, isNoCredential))
    const certificate = certificateCounts ? () => peers.certificateOf(request) : undefined
    const caller = tokenService.authenticate(token, facts, certificate, request.raw.socket)
    if (caller instanceof Promise) caller.then(settled => accept(settled, facts, request, admitted, done), done)
    else accept(caller, facts, request, admitted, done)
  } catch (thrown) {
    done(asBrokerError(thrown))
  }
}

function accept(
  caller: Caller,
  facts: RequestFacts,
  request: FastifyRequest,
  admitted: Authentication['admitted'],
  done: HookHandlerDoneFunction,
): void {
  request.caller = caller
  request.facts = facts
  admitted?.(request)
  done()
}

/**
 * Whether the owner of the client certificate may have intended a request without a credential: it has no
 * `Authorization` header that is one, and no browser sent it for another site
 * (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
 */
function isIntended(request: FastifyRequest, isNoCredential: Authentication['isNoCredential']): boolean {
  const { 'sec-fetch-site': site = 'none', authorization } = request.headers
  if (authorization !== undefined && isNoCredential?.(request) !== true) return false
  return site === 'none' || site === 'same-origin'
}

/** The result of {@link authenticateFor}; throws for a route without it, which is a bug. */
export function authenticated({ caller, facts }: FastifyRequest): Authenticated {
  if (caller === undefined || facts === undefined) {
    throw new Error('the handler ran for a request that was not authenticated')
  }
  return { caller, facts }
}

/** The credential of an `Authorization: Bearer` header (RFC 6750 §2.1), not verified. */
export function bearer({ headers: { authorization: header } }: FastifyRequest): string | undefined {
  if (header === undefined) return undefined
  if (header.startsWith('Bearer ')) return header.slice('Bearer '.length).trim()
  return /^bearer +(.+)$/i.exec(header)?.[1]?.trim()
}
