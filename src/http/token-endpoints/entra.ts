import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { isObject, membersOf } from '../../broker/lib/json-members.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Issued } from '../../broker/issue-token.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { repeatedName } from '../../broker/lib/text/repeated-name.ts'
import { BrokerError } from '../../errors.ts'
import { clientAuthentication, clientId, optionalText, scope, tenantPath } from '../schemas/parameters.ts'
import { errorResponses, routeErrors } from '../schemas/problem-responses.ts'
import { bearer } from './credential.ts'
import { entraProtocol } from './entra-errors.ts'
import { checkClientCredentials, formCredential } from './forms/client-credentials.ts'
import { formBody, formOf } from './forms/form.ts'
import { withoutUserScopes } from './forms/scope.ts'
import { metadataHeaders, publicUrlOf } from './oauth.ts'
import type { TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, refreshIn, tokenHeaders } from './token-response.ts'
import { checkRequest, checkTenant } from './requests/token-request.ts'

const formSchema = Type.Object(
  {
    grant_type: Type.Literal('client_credentials'),
    client_id: clientId,
    scope,
    ...clientAuthentication,
    claims: optionalText('Sent by Azure SDKs with every request; a claims challenge is refused.'),
  },
  { additionalProperties: true },
)

/**
 * `POST /{tenant}/oauth2/v2.0/token`: Entra's own protocol
 * (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow), for unmodified Azure SDKs. The
 * caller's own token is the `client_assertion`, or an API key is the client secret, and `client_id` chooses the
 * application or the agent identity. Unknown parameters (`x-client-SKU` and the like) are ignored.
 */
export const entraEndpoint: TokenEndpoint = {
  name: 'entra_token',
  operationId: 'issueEntraToken',
  method: 'POST',
  path: '/:tenant/oauth2/v2.0/token',
  params: tenantPath,
  body: formBody(formSchema),
  protocol: entraProtocol,
  credential: bearer,
  bodyCredential: request => formCredential(request, 'client_assertion'),
  readRequest: request => readEntraForm(request, () => withoutUserScopes(formOf(request).get('scope'))),
  writeToken: (reply, issued) =>
    reply.headers(tokenHeaders(issued.served, issued.served.how)).send(JSON.stringify(tokenBody(issued))),
}

/**
 * Checks the form of a request in Entra's protocol. Throws `invalid_request`, `invalid_tenant`, `invalid_scope`.
 *
 * @param readScope returns the scope of the form; called after the other fields are checked
 */
export function readEntraForm(request: FastifyRequest, readScope: () => string | undefined): TokenRequest {
  const form = formOf(request)
  form.refuseRepeated()
  const application = checkClientCredentials(request)
  refuseClaims(form.get('claims'))
  if (application === undefined || !isGuid(application)) {
    throw new BrokerError(
      'invalid_request',
      'client_id must be the client id of an application or an agent identity, which is a GUID.',
    )
  }
  const { tenant } = membersOf(request.params)
  return checkRequest({ tenant, scope: readScope(), application: application.toLowerCase() }, application)
}

/**
 * Azure SDKs add `claims` to every request: that they support continuous access evaluation (`xms_cc`), and claims of an
 * ID token that this request does not return. Both are ignored. Anything else would be a claims challenge, which no token
 * of a multi-tenant application can satisfy, and which must neither reach Entra nor bypass the cache.
 */
function refuseClaims(text: string | undefined): void {
  if (text === undefined) return
  let claims: unknown
  try {
    claims = JSON.parse(text)
  } catch {
    throw new BrokerError('invalid_request', 'claims is not valid JSON.')
  }
  if (repeatedName(text) !== undefined) throw new BrokerError('invalid_request', 'claims has a field twice.')
  const left = isObject(claims) ? Object.entries(claims).filter(([name, value]) => !isHarmless(name, value)) : undefined
  if (left?.length !== 0) throw new BrokerError('invalid_request', 'Claims challenges are not supported.')
}

const isHarmless = (name: string, value: unknown): boolean =>
  name === 'id_token' ||
  (name === 'access_token' && isObject(value) && Object.keys(value).every(claim => claim === 'xms_cc'))

const tokenBody = ({ served }: Issued) => ({
  token_type: 'Bearer',
  expires_in: expiresIn(served),
  ext_expires_in: expiresIn(served),
  // With 0, MSAL would send a request for every call.
  ...(refreshIn(served) > 0 && { refresh_in: refreshIn(served) }),
  access_token: served.token.token,
})

/** Settings of the OpenID document. */
export interface EntraDocumentOptions {
  /** The origin under which clients reach the broker; the route returns `not_found` without it. */
  readonly publicUrl: string | undefined
  /** The origin of Entra, whose keys sign the tokens. */
  readonly authority: string
}

/**
 * Adds `GET /{tenant}/v2.0/.well-known/openid-configuration`, which Azure SDKs read before they use an authority that is
 * not Entra's own. Open, and the same for every well-formed tenant. The broker signs nothing: `jwks_uri` is Entra's. It has
 * no authorization endpoint either, but MSAL rejects a document without one.
 */
export function addEntraDocument(app: FastifyInstance, { publicUrl, authority }: EntraDocumentOptions): void {
  const config = { endpoint: 'openid_configuration', protocol: entraProtocol }
  const schema = {
    operationId: 'getOpenIdConfiguration',
    params: tenantPath,
    response: errorResponses(entraProtocol, [...routeErrors, 'invalid_tenant', 'not_found']),
  }
  app.get('/:tenant/v2.0/.well-known/openid-configuration', { schema, config }, ({ params }, reply) => {
    const base = `${publicUrlOf(publicUrl)}/${checkTenant(membersOf(params)['tenant'])}`
    const document = {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${authority}/common/discovery/v2.0/keys`,
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
      response_types_supported: ['code'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
    }
    return reply.headers(metadataHeaders).send(JSON.stringify(document))
  })
}
