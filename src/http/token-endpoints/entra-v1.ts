import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Issued } from '../../broker/issue-token.ts'
import { BrokerError } from '../../errors.ts'
import { clientAuthentication, clientId, optionalText, tenantPath } from '../schemas/parameters.ts'
import { bearer } from './credential.ts'
import { entraProtocol } from './entra-errors.ts'
import { readEntraForm } from './entra.ts'
import { formCredential } from './forms/client-credentials.ts'
import { formBody, formOf } from './forms/form.ts'
import type { TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, expiresOn, tokenHeaders } from './token-response.ts'

const formSchema = Type.Object(
  {
    grant_type: Type.Literal('client_credentials'),
    client_id: clientId,
    resource: Type.String({
      maxLength: 480,
      description: 'The resource. Its scope is this text with `/.default` appended, byte for byte.',
    }),
    ...clientAuthentication,
    claims: optionalText('A claims challenge is refused.'),
  },
  { additionalProperties: true },
)

/**
 * `POST /{tenant}/oauth2/token`: Entra's v1 endpoint
 * (https://learn.microsoft.com/previous-versions/azure/active-directory/azuread-dev/v1-oauth2-client-creds-grant-flow), for
 * ADAL and for Hadoop's ABFS driver. As the v2.0 endpoint, except for `resource` and for the response. `scope` is ignored.
 */
export const entraV1Endpoint: TokenEndpoint = {
  name: 'entra_v1_token',
  operationId: 'issueEntraV1Token',
  method: 'POST',
  path: '/:tenant/oauth2/token',
  params: tenantPath,
  body: formBody(formSchema),
  protocol: entraProtocol,
  credential: bearer,
  bodyCredential: request => formCredential(request, 'client_assertion'),
  readRequest: request => readEntraForm(request, () => `${resourceOf(request)}/.default`),
  writeToken: (reply, issued, request) =>
    reply.headers(tokenHeaders(issued.served, issued.served.how)).send(JSON.stringify(tokenBody(issued, request))),
}

function resourceOf(request: FastifyRequest): string {
  const resource = formOf(request).get('resource')
  if (resource !== undefined) return resource
  throw new BrokerError('invalid_request', 'The parameter resource is missing.')
}

/** Every value is a text, as in Entra's response. */
function tokenBody({ served }: Issued, request: FastifyRequest) {
  const [left, end] = [expiresIn(served), expiresOn(served)]
  return {
    token_type: 'Bearer',
    expires_in: String(left),
    ext_expires_in: String(left),
    expires_on: String(end),
    // The moment of the response, at which the token is valid. The token itself says since when.
    not_before: String(end - left),
    resource: resourceOf(request),
    access_token: served.token.token,
  }
}
