import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { membersOf } from '../../broker/lib/json-members.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Issued } from '../../broker/issue-token.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { BrokerError } from '../../errors.ts'
import { clientId, optionalText, tenantPath } from '../schemas/parameters.ts'
import type { CredentialOf } from './credential.ts'
import { identityProtocol } from './identity-errors.ts'
import { twoCredentials, type TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, expiresOn, tokenHeaders } from './token-response.ts'
import { checkRequest } from './token-request.ts'

const query = Type.Object(
  {
    resource: Type.String({ description: 'The resource, or its scope: `/.default` is added where it is missing.' }),
    client_id: Type.Optional(clientId),
    'api-version': optionalText('Ignored.'),
  },
  { additionalProperties: true },
)

/** Where the identity protocol is served, and for which tenant. */
export interface IdentityOptions {
  /** With `:tenant` in it unless {@link tenant} is given. */
  readonly path: string
  /** The only tenant for which the endpoint issues tokens. */
  readonly tenant?: string
}

/** The broker's endpoint. An agent has one tenant, so its path has none. */
const tenantInPath: IdentityOptions = { path: '/identity/:tenant/token' }

/**
 * The identity protocol of App Service and Container Apps
 * (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference), which Azure SDKs use
 * with the URL in `IDENTITY_ENDPOINT`. `X-IDENTITY-HEADER` is the credential. `api-version`, `object_id`, `principal_id`,
 * `mi_res_id` and unknown parameters are ignored.
 */
export const identityEndpoint = ({ path, tenant }: IdentityOptions = tenantInPath): TokenEndpoint => ({
  name: 'identity',
  operationId: 'getIdentityToken',
  method: 'GET',
  path,
  below: '/identity/',
  marks: ['x-identity-header', 'secret', 'metadata'],
  ...(tenant === undefined && { params: tenantPath }),
  query,
  protocol: identityProtocol,
  credential: identityHeader,
  bearerOnly: true,
  readRequest: request => {
    if (request.headers.authorization !== undefined) throw twoCredentials()
    return readQuery(request, tenant)
  },
  writeToken: (reply, issued, request) => send(reply, issued, tokenBody(issued, request)),
})

/** Options of the metadata protocol. */
export interface MetadataOptions {
  readonly tenant: string
  /** The credential of every request, since the protocol has none. */
  readonly credential: string
}

/** Some SDKs send requests to the path with a slash at its end, which is another path for Fastify. */
const metadataPaths = ['/metadata/identity/oauth2/token', '/metadata/identity/oauth2/token/'] as const
const metadataName = 'metadata'
const belowMetadata = '/metadata/'

/**
 * The metadata protocol of Azure's virtual machines
 * (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token), one endpoint for
 * each of its paths. It has no credential: anyone who reaches it gets a token. `Metadata: true` keeps out requests that a
 * browser or a proxy can be made to send.
 */
export const metadataEndpoints = ({ tenant, credential }: MetadataOptions): readonly TokenEndpoint[] =>
  metadataPaths.map(path => ({
    name: metadataName,
    operationId: 'getMetadataToken',
    method: 'GET',
    path,
    below: belowMetadata,
    ...(path === metadataPaths[0] && { marks: ['metadata'] }),
    query,
    protocol: identityProtocol,
    bearerOnly: true,
    credential: ({ headers }) => {
      // Some SDKs send "True".
      if (String(headers['metadata']).toLowerCase() === 'true') return credential
      throw new BrokerError('invalid_request', 'Send the header "Metadata: true".')
    },
    readRequest: request => readQuery(request, tenant),
    writeToken: (reply, issued, request) =>
      send(reply, issued, { ...tokenBody(issued, request), expires_in: String(expiresIn(issued.served)) }),
  }))

/**
 * Adds the paths of the metadata protocol to a server that does not offer it. The error is in the identity protocol: after
 * a plain 404, SDKs would retry for a minute.
 */
export function refuseMetadata(app: FastifyInstance): void {
  for (const path of metadataPaths) {
    const config = { endpoint: metadataName, below: belowMetadata, protocol: identityProtocol }
    app.get(path, { config }, () => {
      throw new BrokerError('not_found', 'This agent does not offer the metadata protocol.', {
        remedy: 'Start it with --metadata, or set IDENTITY_ENDPOINT and IDENTITY_HEADER as it prints them.',
      })
    })
  }
}

const identityHeader: CredentialOf = ({ headers }) => {
  const credential = headers['x-identity-header']
  return typeof credential === 'string' ? credential : undefined
}

function readQuery(request: FastifyRequest, tenant = membersOf(request.params)['tenant']): TokenRequest {
  const { resource, client_id: application } = membersOf(request.query)
  if (typeof resource !== 'string' || resource === '') {
    throw new BrokerError('invalid_request', 'The parameter resource must appear exactly once.')
  }
  if (application !== undefined && (typeof application !== 'string' || !isGuid(application))) {
    throw new BrokerError('invalid_request', 'client_id must be the client id of an application, which is a GUID.')
  }
  const scope = resource.endsWith('/.default') ? resource : `${resource}/.default`
  return checkRequest({ tenant, scope, application: application?.toLowerCase() }, application)
}

/** Without `expires_in`, and without a date as text: one SDK takes the last field that it finds, and one fails on dates. */
const tokenBody = ({ grant, served }: Issued, request: FastifyRequest) => ({
  access_token: served.token.token,
  expires_on: String(expiresOn(served)),
  resource: membersOf(request.query)['resource'],
  token_type: 'Bearer',
  // An agent knows only the name of its application.
  ...(isGuid(grant.clientId) && { client_id: grant.clientId }),
})

const send = (reply: FastifyReply, { served }: Issued, body: object): FastifyReply =>
  reply.headers(tokenHeaders(served, served.how)).send(JSON.stringify(body))
