import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Issued, TokenIssuer } from '../../broker/issue-token.ts'
import type { Ask } from '../../broker/authorization/authorize.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { authenticateBy, authenticated, authenticateFor, type Authentication, type CredentialOf } from './credential.ts'
import { limitHeaders, type AnswerError } from '../server/problems.ts'

/** A request whose body the dialect's own content-type parser has read; `undefined` where none came. */
export type RequestWith<Body> = FastifyRequest<{ Body: Body }>

/**
 * One way to ask for tokens: where the credential and the ask are in a request, and how clients of its kind are answered.
 * It decides nothing. Authentication, policy, cache, audit and metrics are the same for all.
 */
export interface Dialect<Body> {
  /** The name under which its requests are announced and counted. */
  readonly endpoint: string
  readonly method: 'GET' | 'POST'
  /** With parameters as whole parts, such as `:tenant`. */
  readonly path: string
  /** Paths that begin so and lead nowhere are answered in this dialect. */
  readonly below?: string
  readonly schema?: FastifySchema
  /** The credential in the headers: looked at before the body is read. */
  readonly credential: CredentialOf
  /** Whether a client certificate cannot stand in for it: where the credential keeps out requests that others cause. */
  readonly bearerOnly?: boolean
  /**
   * The credential in the body, where this dialect has one there; throws `invalid_request` for more than one. A request
   * without an `Authorization` header is authenticated by it as soon as its body is parsed, before its form is looked at.
   */
  readonly bodyCredential?: (request: RequestWith<Body>) => string | undefined
  /** Throws `invalid_request`, `invalid_tenant`, `invalid_scope`. */
  readonly readAsk: (request: RequestWith<Body>) => Ask
  readonly answer: (reply: FastifyReply, issued: Issued, request: RequestWith<Body>) => FastifyReply
  readonly answerError: AnswerError
}

/** Adds a dialect's route: authenticate (401), then the form (400), then the policy (403), then the token. */
export function addTokenRoute<Body>(app: FastifyInstance, issuer: TokenIssuer, dialect: Dialect<Body>): void {
  const { endpoint, method, path, below, schema, credential, bodyCredential, readAsk, answer, answerError } = dialect
  const authentication = { endpoint, issuer, bearerOnly: dialect.bearerOnly }
  const byHeaders = authenticateFor(authentication, credential)
  const send = (reply: FastifyReply, issued: Issued, request: RequestWith<Body>): FastifyReply =>
    answer(issued.limit ? reply.headers(limitHeaders(issued.limit)) : reply, issued, request)
  app.route<{ Body: Body }>({
    method,
    url: path,
    ...(schema && { schema }),
    config: { endpoint, answerError, ...(below !== undefined && { below }) },
    onRequest:
      bodyCredential === undefined
        ? byHeaders
        : function (request, reply, done) {
            if (request.headers.authorization === undefined) done()
            else byHeaders.call(this, request, reply, done)
          },
    ...(bodyCredential && { preValidation: authenticateByBody(authentication, bodyCredential) }),
    handler: (request, reply) => {
      const { caller, facts } = authenticated(request)
      const issued = issuer.issue(caller, readAsk(request), facts)
      if (issued instanceof Promise) return issued.then(late => send(reply, late, request))
      return send(reply, issued, request)
    },
  })
}

const authenticateByBody =
  <Body>(authentication: Authentication, credential: (request: RequestWith<Body>) => string | undefined) =>
  (request: RequestWith<Body>, _reply: FastifyReply, done: (error?: Error) => void): void => {
    if (request.caller === undefined) return authenticateBy(() => credential(request), request, authentication, done)
    try {
      done(credential(request) === undefined ? undefined : twoCredentials())
    } catch (thrown) {
      done(asBrokerError(thrown))
    }
  }

/** RFC 6749 §2.3. */
export const twoCredentials = () =>
  new BrokerError('invalid_request', 'The request has more than one credential; send one.')
