import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { TSchema } from 'typebox'
import type { Issued, TokenService } from '../../broker/issue-token.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { asBrokerError, BrokerError, type ErrorCode } from '../../errors.ts'
import { callerErrors, errorResponses, routeErrors } from '../schemas/problem-responses.ts'
import { limitHeaders, type Protocol } from '../server/problems.ts'
import { authenticateBy, authenticated, authenticateFor, type Authentication, type CredentialOf } from './credential.ts'
import type { BodyFormat } from '../server/request-body.ts'
import { isBasic, namesClientOnly } from './forms/http-basic.ts'

/** The body of an endpoint's requests. */
export type RequestBody = BodyFormat & Required<Pick<BodyFormat, 'schema'>>

/**
 * An endpoint that issues tokens: how its requests, tokens and errors look in its protocol. It decides nothing:
 * authentication, policy, cache, audit and metrics are the same for all endpoints. Its part of `openapi.yaml` is derived
 * from it, except for the words, which are in `openapi/token-endpoints/`.
 */
export interface TokenEndpoint {
  /** The label of its requests in the audit log and in metrics. */
  readonly name: string
  /** Its name in `openapi.yaml`. */
  readonly operationId: string
  readonly method: 'GET' | 'POST'
  /** Each parameter is a whole segment, such as `:tenant`. */
  readonly path: string
  /** Whether its path with a slash at the end is the endpoint too. It is not in `openapi.yaml`. */
  readonly alsoWithSlash?: boolean
  /** A prefix of paths without a route: their errors are in this endpoint's protocol too. */
  readonly below?: string
  /** Headers that only its protocol has: errors of requests without a route that have one are in its protocol too. */
  readonly marks?: readonly string[]
  /** Parameters in the path, for `openapi.yaml` only. */
  readonly params?: TSchema
  /** Parameters of the query, for `openapi.yaml` only. */
  readonly query?: TSchema
  /** Absent if the endpoint reads no body. */
  readonly body?: RequestBody
  /** How it reports errors. */
  readonly protocol: Protocol
  /** The credential in the headers; read before the body is. */
  readonly credential: CredentialOf
  /** Whether a client certificate does not count, because only the credential proves that the caller intended the request. */
  readonly bearerOnly?: boolean
  /**
   * The credential in the body, or in an `Authorization: Basic` header beside it, if this protocol has one there. Throws
   * `invalid_request` for more than one. A request without an `Authorization` header, or with HTTP Basic, is authenticated
   * by it as soon as its body is parsed, before its fields are checked.
   */
  readonly bodyCredential?: CredentialOf
  /** What the caller requests. Throws `invalid_request`, `invalid_tenant`, `invalid_scope`. */
  readonly readRequest: (request: FastifyRequest) => TokenRequest
  /** Sends the response with the token. */
  readonly writeToken: (reply: FastifyReply, issued: Issued, request: FastifyRequest) => FastifyReply
}

/** The errors of every endpoint that issues tokens. */
const tokenErrors: readonly ErrorCode[] = [
  ...routeErrors,
  ...callerErrors,
  'invalid_tenant',
  'invalid_scope',
  'not_permitted',
  'consent_required',
  'upstream_rejected',
  'federation_misconfigured',
  'upstream_invalid',
  'upstream_unavailable',
  'identity_unavailable',
  'overloaded',
]

/** The errors of an endpoint that reads a body. */
const bodyErrors: readonly ErrorCode[] = ['too_large', 'unsupported_media_type']

/** Every error that an endpoint's route can return. */
export const errorsOf = ({ body }: Pick<TokenEndpoint, 'body'>): readonly ErrorCode[] =>
  body ? [...tokenErrors, ...bodyErrors] : tokenErrors

/**
 * Adds an endpoint's route to a scope. In this order: authenticate (401), check the request (400), check the policy (403),
 * issue the token.
 */
export function addTokenEndpoint(scope: FastifyInstance, tokenService: TokenService, endpoint: TokenEndpoint): void {
  const { name, method, path, below, marks, protocol, body, credential, bodyCredential, readRequest, writeToken } =
    endpoint
  const { timing } = scope
  const authentication = { endpoint: name, tokenService, bearerOnly: endpoint.bearerOnly }
  const byHeaders = authenticateFor({ ...authentication, admitted: body && timing?.waitForBody }, credential)
  const send = (reply: FastifyReply, issued: Issued, request: FastifyRequest): FastifyReply => {
    const sent = writeToken(issued.limit ? reply.headers(limitHeaders(issued.limit)) : reply, issued, request)
    timing?.report(request, name, classOf(issued))
    return sent
  }
  const route = {
    method,
    config: { endpoint: name, protocol, ...(body && { body }), ...(below !== undefined && { below }) },
    onRequest:
      bodyCredential === undefined
        ? byHeaders
        : function (request, reply, done) {
            if (request.headers.authorization !== undefined && !isBasic(request)) {
              byHeaders.call(this, request, reply, done)
            } else {
              timing?.waitForBody(request)
              done()
            }
          },
    ...(bodyCredential && {
      preValidation: authenticateByBody({ ...authentication, isNoCredential: namesClientOnly }, bodyCredential),
    }),
    handler: (request, reply) => {
      const { caller, facts } = authenticated(request)
      const issued = tokenService.issue(caller, readRequest(request), facts)
      if (issued instanceof Promise) return issued.then(settled => send(reply, settled, request))
      send(reply, issued, request)
      // Of a reply that is returned, Fastify would wait for the end.
      return undefined
    },
  } satisfies Omit<RouteOptions, 'url'>
  // Errors of marked requests name the last route that has the mark: the one without a slash.
  if (endpoint.alsoWithSlash) scope.route({ ...route, url: `${path}/`, schema: { hide: true } })
  scope.route({
    ...route,
    url: path,
    schema: schemaOf(endpoint),
    config: { ...route.config, ...(marks && { marks }) },
  })
}

const classOf = ({ served: { how } }: Issued) =>
  how === 'hit' || how === 'due' || how === 'refresh-failed' ? 'cached' : 'fetched'

function schemaOf(endpoint: TokenEndpoint) {
  const { operationId, params, query, body, protocol } = endpoint
  return {
    operationId,
    ...(params && { params }),
    ...(query && { querystring: query }),
    ...(body && { consumes: [body.mediaType] }),
    response: errorResponses(protocol, errorsOf(endpoint)),
  }
}

const authenticateByBody =
  (authentication: Authentication, credential: CredentialOf) =>
  (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    if (request.caller === undefined) return authenticateBy(credential, request, authentication, done)
    try {
      done(credential(request) === undefined ? undefined : twoCredentials())
    } catch (thrown) {
      done(asBrokerError(thrown))
    }
  }

/** The error of a request with more than one credential (RFC 6749 §2.3). */
export const twoCredentials = (hint?: string) =>
  new BrokerError(
    'invalid_request',
    `Send exactly one credential; the request has more than one.${hint === undefined ? '' : ` ${hint}`}`,
  )
