import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Credential } from '../../broker/authentication/credential.ts'
import type { Issued } from '../../broker/issue-token.ts'
import { algorithms } from '../../broker/authentication/jwt.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { BrokerError } from '../../errors.ts'
import { agent, clientAuthentication, optionalText, scope, tenant } from '../schemas/parameters.ts'
import { problems, routeErrors } from '../schemas/problem-responses.ts'
import type { FailedRequest, Protocol } from '../server/problems.ts'
import { bearer } from './credential.ts'
import { checkClientCredentials, clientIdOf, formCredential } from './forms/client-credentials.ts'
import { type Form, formBody, formOf } from './forms/form.ts'
import { namesTarget, scopeOf } from './forms/scope.ts'
import { oauthProblem, oauthRow, oauthRowOf, type OAuthRow } from './oauth-errors.ts'
import type { TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, tokenHeaders } from './token-response.ts'
import { checkRequest } from './requests/token-request.ts'

const path = '/oauth2/token'
/** RFC 8693 §2.1. */
const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** RFC 8693 §3. */
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
const subjectTokenTypes = ['urn:ietf:params:oauth:token-type:jwt', accessTokenType]

const formSchema = Type.Object(
  {
    grant_type: Type.String({
      description: '`client_credentials`, or `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693).',
    }),
    tenant,
    scope: Type.Optional(scope),
    resource: optionalText(
      'The resource, or its scope, in place of `scope`: `/.default` is added where it is missing.',
    ),
    audience: optionalText('As `resource`.'),
    application: optionalText(
      'The name of an application in the policy, or its client id in lower case; "default" if absent.',
    ),
    agent,
    ...clientAuthentication,
    subject_token: optionalText("In a token exchange: the caller's own token."),
    subject_token_type: optionalText(
      'In a token exchange: `urn:ietf:params:oauth:token-type:jwt`, or `…:access_token`.',
    ),
    requested_token_type: optionalText(
      'In a token exchange: `urn:ietf:params:oauth:token-type:access_token`, or absent.',
    ),
  },
  { additionalProperties: true },
)

/** Errors as RFC 6749 §5.2 and, in a token exchange, RFC 8693 §2.2.2 have them. */
const oauthProtocol: Protocol = {
  errorSchema: 'OAuthError',
  mediaType: 'application/json',
  statusOf: code => oauthRowOf(code).status,
  writeError: (error, request) => oauthProblem(error, request, rowFor(error, request)),
}

/**
 * `POST /oauth2/token`, for OAuth libraries. Client credentials (RFC 6749 §4.4) with the caller's own token as
 * `client_assertion` or in `Authorization`, an API key as the client secret, or a client certificate; and token exchange
 * (RFC 8693) with the caller's token as `subject_token`. `tenant`, `application` and `agent` are parameters of this broker;
 * `resource` or `audience` may stand in place of `scope`. `client_id` and unknown parameters are ignored.
 */
export const oauthEndpoint: TokenEndpoint = {
  name: 'oauth_token',
  operationId: 'issueOAuthToken',
  method: 'POST',
  path,
  body: formBody(formSchema),
  protocol: oauthProtocol,
  credential: bearer,
  bodyCredential: credentialOf,
  readRequest: readForm,
  writeToken: (reply, issued, request) =>
    reply
      .headers(tokenHeaders(issued.served, issued.served.how))
      .send(JSON.stringify(tokenBody(issued, isExchange(formOf(request))))),
}

const isExchange = (form: Form): boolean => form.get('grant_type') === tokenExchange

function credentialOf(request: FastifyRequest): Credential | undefined {
  const form = formOf(request)
  const [expected, other] = isExchange(form)
    ? (['subject_token', 'client_assertion'] as const)
    : (['client_assertion', 'subject_token'] as const)
  const credential = formCredential(request, expected, other)
  // If it were ignored, the request would be authenticated by another credential than its sender intended.
  const why = `with this grant_type the credential must be in ${expected}`
  refuse(form, other, why)
  if (isExchange(form) && typeof credential === 'object') {
    throw new BrokerError('invalid_request', `A client secret is not accepted: ${why}.`)
  }
  return credential
}

function readForm(request: FastifyRequest): TokenRequest {
  const form = formOf(request)
  const named = scopeOf(form)
  form.refuseRepeated()
  if (isExchange(form)) checkExchange(request)
  else checkClientCredentials(request)
  return checkRequest({
    tenant: form.get('tenant'),
    scope: named,
    application: form.get('application'),
    agent: form.get('agent'),
  })
}

function checkExchange(request: FastifyRequest): void {
  const form = formOf(request)
  clientIdOf(request)
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
    throw new BrokerError('invalid_request', `requested_token_type must be ${accessTokenType}, or absent.`)
  }
}

function refuse(form: Form, name: string, why: string): void {
  if (form.get(name) !== undefined) throw new BrokerError('invalid_request', `${name} is not accepted: ${why}.`)
}

/** RFC 6749 §5.1, RFC 8693 §2.2.1. */
const tokenBody = ({ grant, served }: Issued, exchanged: boolean) => ({
  access_token: served.token.token,
  ...(exchanged && { issued_token_type: accessTokenType }),
  token_type: 'Bearer',
  expires_in: expiresIn(served),
  scope: grant.scope,
})

/**
 * A scope that `resource` or `audience` names is a target (RFC 8707 §2), whether the broker or Entra refuses it. In a
 * token exchange the credential is the subject, and the policy refuses the target (RFC 8693 §2.2.2).
 */
function rowFor(error: BrokerError, request: FailedRequest): OAuthRow {
  const usual = oauthRow(error)
  const form = formOf(request)
  if (usual.error === 'invalid_scope' && namesTarget(form)) return { status: 400, error: 'invalid_target' }
  if (!isExchange(form)) return usual
  if (error.code === 'not_permitted') return { status: 400, error: 'invalid_target' }
  const bySubject = usual.status === 401 && request.headers.authorization === undefined
  return bySubject ? { status: 400, error: 'invalid_request' } : usual
}

/**
 * Adds `GET /.well-known/oauth-authorization-server` (RFC 8414): open, and the same for every caller.
 *
 * @param publicUrl the origin under which clients reach the broker; the route returns `not_found` without it
 */
export function addOAuthMetadata(app: FastifyInstance, publicUrl: string | undefined): void {
  const schema = { operationId: 'getOAuthMetadata', response: problems(...routeErrors, 'not_found') }
  const config = { endpoint: 'oauth_metadata' } as const
  app.get('/.well-known/oauth-authorization-server', { schema, config }, (_request, reply) =>
    reply.headers(metadataHeaders).send(JSON.stringify(metadata(publicUrlOf(publicUrl)))),
  )
}

/** The headers of discovery documents. */
export const metadataHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'public, max-age=300',
} as const

/** The broker's own origin. It is never taken from a request, whose sender could name any. Throws `not_found`. */
export function publicUrlOf(publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl
  throw new BrokerError('not_found', 'This broker does not know its own public URL.', {
    reason: 'no_public_url',
    remedy: 'The operator of the broker must set BROKER_PUBLIC_URL, for example to https://broker.example.',
  })
}

const metadata = (issuer: string) => ({
  issuer,
  token_endpoint: `${issuer}${path}`,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', tokenExchange],
  token_endpoint_auth_methods_supported: ['private_key_jwt', 'client_secret_post', 'client_secret_basic', 'none'],
  token_endpoint_auth_signing_alg_values_supported: algorithms,
})
