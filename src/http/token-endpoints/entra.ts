import type { FastifyInstance } from 'fastify'
import { isObject, membersOf } from '../../broker/lib/json-members.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Issued, TokenIssuer } from '../../broker/issue-token.ts'
import type { Ask } from '../../broker/authorization/authorize.ts'
import { BrokerError, type ErrorCode } from '../../errors.ts'
import { bearer } from './credential.ts'
import { addTokenRoute, twoCredentials } from './token-endpoint.ts'
import { entraProblem } from './entra-errors.ts'
import { type Form, formOf, readForms } from './form.ts'
import { oauthErrors } from './oauth-errors.ts'
import { checkClientCredentials, metadataHeaders, publicUrlOf } from './oauth.ts'
import {
  dialectErrors,
  dialectResponses,
  entraForm,
  formErrors,
  formMediaType,
  tenantPath,
} from '../schemas/protocol-responses.ts'
import { routeErrors } from '../schemas/problem-responses.ts'
import { expiresIn, refreshIn, tokenHeaders } from './token-response.ts'
import { askFrom, checkTenant } from './token-request.ts'

/**
 * Adds `POST /{tenant}/oauth2/v2.0/token`: Entra's own protocol
 * (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow), for unmodified Azure SDKs. The
 * caller's own token is the `client_assertion`, and `client_id` chooses the application. Fields that are not known
 * (`x-client-SKU` and its like) are passed over.
 */
export function addEntraToken(app: FastifyInstance, issuer: TokenIssuer): void {
  readForms(app)
  addTokenRoute<unknown>(app, issuer, {
    endpoint: 'entra_token',
    method: 'POST',
    path: '/:tenant/oauth2/v2.0/token',
    schema: {
      operationId: 'issueEntraToken',
      consumes: [formMediaType],
      params: tenantPath,
      body: entraForm,
      response: entraResponses(...dialectErrors, ...formErrors),
    },
    credential: bearer,
    bodyCredential: ({ body }) => credentialOf(formOf(body)),
    readAsk: ({ body, params }) => readAsk(formOf(body), membersOf(params)['tenant']),
    answer: (reply, issued) =>
      reply.headers(tokenHeaders(issued.served, issued.served.how)).send(JSON.stringify(answerOf(issued))),
    answerError: entraProblem,
  })
}

const entraResponses = (...codes: readonly ErrorCode[]) =>
  dialectResponses('EntraError', code => oauthErrors[code].status, codes)

function credentialOf(form: Form): string | undefined {
  if (form.isRepeated('client_assertion')) throw twoCredentials()
  const assertion = form.get('client_assertion')
  if (assertion !== undefined && form.get('client_secret') !== undefined) throw twoCredentials()
  return assertion
}

function readAsk(form: Form, tenant: unknown): Ask {
  form.refuseRepeated()
  checkClientCredentials(form)
  refuseClaims(form.get('claims'))
  const clientId = form.get('client_id')
  if (clientId === undefined || !isGuid(clientId)) {
    throw new BrokerError('invalid_request', "client_id must be an application's client id, a GUID.")
  }
  return askFrom({ tenant, scope: resourceScope(form.get('scope')), application: clientId.toLowerCase() })
}

/** Scopes of OpenID Connect, which MSAL for Go and for Java add to every request. They mean nothing where there is no user. */
const userScopes = new Set(['openid', 'profile', 'offline_access'])

/** What is left of a scope (RFC 6749 §3.3) without the scopes of users. */
const resourceScope = (scope: string | undefined): string | undefined =>
  scope
    ?.split(' ')
    .filter(each => !userScopes.has(each))
    .join(' ')

/**
 * Azure SDKs add `claims` to every request: that they could handle continuous access evaluation (`xms_cc`), and members
 * of an ID token that nobody asks for. Both are passed over. What is left would be a claims challenge, which no token of
 * a multi-tenant application can get, and which must neither reach Entra nor go around the cache.
 */
function refuseClaims(text: string | undefined): void {
  if (text === undefined) return
  let claims: unknown
  try {
    claims = JSON.parse(text)
  } catch {
    throw new BrokerError('invalid_request', 'claims is not valid JSON.')
  }
  const left = isObject(claims) ? Object.entries(claims).filter(([name, value]) => !isHarmless(name, value)) : undefined
  if (left?.length !== 0) throw new BrokerError('invalid_request', 'claims challenges are not supported.')
}

const isHarmless = (name: string, value: unknown): boolean =>
  name === 'id_token' ||
  (name === 'access_token' && isObject(value) && Object.keys(value).every(claim => claim === 'xms_cc'))

const answerOf = ({ served }: Issued) => ({
  token_type: 'Bearer',
  expires_in: expiresIn(served),
  ext_expires_in: expiresIn(served),
  // 0 would make MSAL ask again with every call.
  ...(refreshIn(served) > 0 && { refresh_in: refreshIn(served) }),
  access_token: served.token.token,
})

/** What the OpenID document needs to know. */
export interface EntraDocumentOptions {
  /** The origin under which clients reach the broker; `not_found` without it. */
  readonly publicUrl: string | undefined
  /** Entra itself, whose keys sign the tokens. */
  readonly authority: string
}

/**
 * Adds `GET /{tenant}/v2.0/.well-known/openid-configuration`, which Azure SDKs read before they use an authority that is
 * not Entra's own. Open, and the same for every well-formed tenant. The broker signs nothing: `jwks_uri` is Entra's. It has
 * no authorization endpoint either, but MSAL takes no document without one.
 */
export function addEntraDocument(app: FastifyInstance, { publicUrl, authority }: EntraDocumentOptions): void {
  const config = { endpoint: 'openid_configuration', answerError: entraProblem }
  const schema = {
    operationId: 'getOpenIdConfiguration',
    params: tenantPath,
    response: entraResponses(...routeErrors, 'invalid_tenant', 'not_found'),
  }
  app.get('/:tenant/v2.0/.well-known/openid-configuration', { schema, config }, ({ params }, reply) => {
    const base = `${publicUrlOf(publicUrl)}/${checkTenant(membersOf(params)['tenant'])}`
    const document = {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${authority}/common/discovery/v2.0/keys`,
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      response_types_supported: ['code'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
    }
    return reply.headers(metadataHeaders).send(JSON.stringify(document))
  })
}
