import type { FastifyInstance } from 'fastify'
import type { Issued, TokenIssuer } from '../../broker/issue-token.ts'
import { algorithms } from '../../broker/authentication/jwt.ts'
import type { Ask } from '../../broker/authorization/authorize.ts'
import { BrokerError } from '../../errors.ts'
import { bearer } from './credential.ts'
import { addTokenRoute, twoCredentials, type RequestWith } from './token-endpoint.ts'
import { Form, formOf, readForms } from './form.ts'
import { oauthErrors, oauthProblem, oauthRow, type OAuthRow } from './oauth-errors.ts'
import type { AnswerError } from '../server/problems.ts'
import { dialectErrors, dialectResponses, formErrors, formMediaType, oauthForm } from '../schemas/protocol-responses.ts'
import { problems, routeErrors } from '../schemas/problem-responses.ts'
import { expiresIn, tokenHeaders } from './token-response.ts'
import { askFrom } from './token-request.ts'

const path = '/oauth2/token'
/** RFC 7523 §2.2. */
export const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** RFC 8693 §2.1. */
const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** RFC 8693 §3. */
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
const subjectTokenTypes = ['urn:ietf:params:oauth:token-type:jwt', accessTokenType]

/**
 * Adds `POST /oauth2/token` for OAuth libraries: client credentials (RFC 6749 §4.4) with the caller's own token as
 * `client_assertion` or in `Authorization`, or with a client certificate, and token exchange (RFC 8693) with its token as
 * `subject_token`. `tenant` and `application` are parameters of its own; `client_id` and what is not known are passed over.
 */
export function addOAuth(app: FastifyInstance, issuer: TokenIssuer): void {
  readForms(app)
  addTokenRoute<unknown>(app, issuer, {
    endpoint: 'oauth_token',
    method: 'POST',
    path,
    schema: {
      operationId: 'issueOAuthToken',
      consumes: [formMediaType],
      body: oauthForm,
      response: dialectResponses('OAuthError', code => oauthErrors[code].status, [...dialectErrors, ...formErrors]),
    },
    credential: bearer,
    bodyCredential: request => credentialOf(formOf(request.body)),
    readAsk: readAsk,
    answer: (reply, issued, request) =>
      reply
        .headers(tokenHeaders(issued.served, issued.served.how))
        .send(JSON.stringify(answerOf(issued, isExchange(formOf(request.body))))),
    answerError,
  })
}

const isExchange = (form: Form): boolean => form.get('grant_type') === tokenExchange

function credentialOf(form: Form): string | undefined {
  const [wanted, other] = isExchange(form)
    ? (['subject_token', 'client_assertion'] as const)
    : (['client_assertion', 'subject_token'] as const)
  const credential = form.get(wanted)
  if (form.isRepeated(wanted) || form.isRepeated(other)) throw twoCredentials()
  if (credential !== undefined && (form.get(other) ?? form.get('client_secret')) !== undefined) throw twoCredentials()
  // Passed over, it would leave the request to another credential than the one that was meant.
  refuse(form, other, `with this grant_type the credential is ${wanted}`)
  return credential
}

function readAsk({ body }: RequestWith<unknown>): Ask {
  const form = formOf(body)
  form.refuseRepeated()
  if (isExchange(form)) checkExchange(form)
  else checkClientCredentials(form)
  refuse(form, 'resource', 'name the resource in scope, as <resource>/.default')
  refuse(form, 'audience', 'name the resource in scope, as <resource>/.default')
  return askFrom({ tenant: form.get('tenant'), scope: form.get('scope'), application: form.get('application') })
}

/** The part of a form that says who asks (RFC 6749 §4.4, RFC 7521 §4.2). Shared by every endpoint that takes it. */
export function checkClientCredentials(form: Form): void {
  const grant = form.get('grant_type')
  if (grant === undefined) throw new BrokerError('invalid_request', 'The parameter grant_type is missing.')
  if (grant !== 'client_credentials') {
    throw new BrokerError('invalid_request', 'This grant_type is none that this endpoint knows.', {
      reason: 'unsupported_grant_type',
    })
  }
  refuse(form, 'client_secret', 'send a token as client_assertion')
  const hasAssertion = form.get('client_assertion') !== undefined
  if (hasAssertion && form.get('client_assertion_type') !== jwtBearer) {
    throw new BrokerError('invalid_request', `client_assertion_type must be ${jwtBearer}.`)
  }
}

function checkExchange(form: Form): void {
  if (form.get('subject_token') === undefined) {
    throw new BrokerError('invalid_request', 'The parameter subject_token is missing (RFC 8693 §2.1).')
  }
  refuse(form, 'actor_token', 'the subject acts for itself')
  refuse(form, 'actor_token_type', 'the subject acts for itself')
  if (!subjectTokenTypes.includes(form.get('subject_token_type') ?? '')) {
    throw new BrokerError('invalid_request', `subject_token_type must be ${subjectTokenTypes.join(' or ')}.`)
  }
  const requested = form.get('requested_token_type')
  if (requested !== undefined && requested !== accessTokenType) {
    throw new BrokerError('invalid_request', `requested_token_type can be ${accessTokenType} only.`)
  }
}

function refuse(form: Form, name: string, why: string): void {
  if (form.get(name) !== undefined) throw new BrokerError('invalid_request', `${name} is not accepted: ${why}.`)
}

/** RFC 6749 §5.1, RFC 8693 §2.2.1. */
const answerOf = ({ grant, served }: Issued, exchanged: boolean) => ({
  access_token: served.token.token,
  ...(exchanged && { issued_token_type: accessTokenType }),
  token_type: 'Bearer',
  expires_in: expiresIn(served),
  scope: grant.scope,
})

const answerError: AnswerError = (error, request) => oauthProblem(error, request, rowFor(error, request))

/** In a token exchange the credential is the request's subject, and what is not permitted its target (RFC 8693 §2.2.2). */
function rowFor(error: BrokerError, { body, headers }: Parameters<AnswerError>[1]): OAuthRow {
  const usual = oauthRow(error)
  if (!isExchange(formOf(body))) return usual
  if (error.code === 'not_permitted') return { status: 400, error: 'invalid_target' }
  const bySubject = usual.status === 401 && headers.authorization === undefined
  return bySubject ? { status: 400, error: 'invalid_request' } : usual
}

/**
 * Adds `GET /.well-known/oauth-authorization-server` (RFC 8414): open, the same for everybody.
 *
 * @param publicUrl the origin under which clients reach the broker; `not_found` without it
 */
export function addOAuthMetadata(app: FastifyInstance, publicUrl: string | undefined): void {
  const schema = { operationId: 'getOAuthMetadata', response: problems(...routeErrors, 'not_found') }
  const config = { endpoint: 'oauth_metadata' }
  app.get('/.well-known/oauth-authorization-server', { schema, config }, (_request, reply) =>
    reply.headers(metadataHeaders).send(JSON.stringify(metadata(publicUrlOf(publicUrl)))),
  )
}

/** The headers of documents that say where things are. */
export const metadataHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'public, max-age=300',
} as const

/** The broker's own address, which is never taken from a request: whoever sends one could name any. */
export function publicUrlOf(publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl
  throw new BrokerError('not_found', 'This broker does not know the URL under which it is reached.', {
    reason: 'no_public_url',
    remedy: 'Whoever runs the broker sets BROKER_PUBLIC_URL, for example to https://broker.example.',
  })
}

const metadata = (issuer: string) => ({
  issuer,
  token_endpoint: `${issuer}${path}`,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', tokenExchange],
  token_endpoint_auth_methods_supported: ['private_key_jwt', 'none'],
  token_endpoint_auth_signing_alg_values_supported: algorithms,
})
