import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { membersOf } from '../../broker/lib/json-members.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Issued } from '../../broker/issue-token.ts'
import type { TokenRequest } from '../../broker/policy/model.ts'
import { BrokerError } from '../../errors.ts'
import { agent, clientId, optionalText, tenantPath } from '../schemas/parameters.ts'
import type { CredentialOf } from './credential.ts'
import { scopeOfResource } from './forms/scope.ts'
import { identityProtocol } from './identity-errors.ts'
import { twoCredentials, type TokenEndpoint } from './token-endpoint.ts'
import { expiresIn, expiresOn, tokenHeaders } from './token-response.ts'
import { checkRequest } from './requests/token-request.ts'

const query = Type.Object(
  {
    resource: Type.String({ description: 'The resource, or its scope: `/.default` is added where it is missing.' }),
    client_id: Type.Optional(clientId),
    clientid: Type.Optional(clientId),
    agent,
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
 *
 * The header `secret` in its place makes a request one of the older protocol of 2017-09-01: `clientid` is the parameter of
 * an application, and `expires_on` a date. Some of its clients write a slash behind the path.
 */
export const identityEndpoint = ({ path, tenant }: IdentityOptions = tenantInPath): TokenEndpoint => ({
  name: 'identity',
  operationId: 'getIdentityToken',
  method: 'GET',
  path,
  alsoWithSlash: true,
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
  writeToken: (reply, issued, request) => send(reply, issued, request, isOf2017(request)),
})

/** Options of the metadata protocol. */
export interface MetadataOptions {
  readonly tenant: string
  /** The credential of every request, since the protocol has none. */
  readonly credential: string
}

const metadataPath = '/metadata/identity/oauth2/token'
const metadataName = 'metadata'
const belowMetadata = '/metadata/'

/**
 * The metadata protocol of Azure's virtual machines
 * (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token). It has no
 * credential: anyone who reaches it gets a token. `Metadata: true` keeps out requests that a browser or a proxy can be made
 * to send. Some SDKs write a slash behind the path.
 */
export const metadataEndpoint = ({ tenant, credential }: MetadataOptions): TokenEndpoint => ({
  name: metadataName,
  operationId: 'getMetadataToken',
  method: 'GET',
  path: metadataPath,
  alsoWithSlash: true,
  below: belowMetadata,
  marks: ['metadata'],
  query,
  protocol: identityProtocol,
  bearerOnly: true,
  credential: request => {
    if (hasMetadataHeader(request)) return credential
    throw new BrokerError('invalid_request', 'Send the header "Metadata: true".')
  },
  readRequest: request => readQuery(request, tenant),
  writeToken: (reply, issued, request) => send(reply, issued, request),
})

/**
 * Adds the paths of the metadata protocol to a server that does not offer it. The error is in the identity protocol: after
 * a plain 404, SDKs would retry for a minute.
 */
export function refuseMetadata(app: FastifyInstance): void {
  for (const path of [metadataPath, `${metadataPath}/`]) {
    const config = { endpoint: metadataName, below: belowMetadata, protocol: identityProtocol }
    app.get(path, { config }, () => {
      throw new BrokerError('not_found', 'This agent does not offer the metadata protocol.', {
        remedy: 'Start it with --metadata, or set IDENTITY_ENDPOINT and IDENTITY_HEADER as it prints them.',
      })
    })
  }
}

const identityHeader: CredentialOf = ({ headers: { 'x-identity-header': header, secret } }) => {
  if (header !== undefined && secret !== undefined) throw twoCredentials()
  const credential = header ?? secret
  return typeof credential === 'string' ? credential : undefined
}

/** Some SDKs send "True". */
const hasMetadataHeader = ({ headers }: FastifyRequest): boolean => String(headers['metadata']).toLowerCase() === 'true'

/**
 * Whether a request is one of the protocol of 2017-09-01. MSAL for Azure Machine Learning uses that protocol too, but adds
 * `Metadata: true`, and reads no dates.
 */
const isOf2017 = (request: FastifyRequest): boolean =>
  request.headers['secret'] !== undefined && !hasMetadataHeader(request)

function readQuery(request: FastifyRequest, tenant = membersOf(request.params)['tenant']): TokenRequest {
  const { resource, client_id: clientIdNow, clientid: clientIdOf2017, agent: named } = membersOf(request.query)
  const application = clientIdNow ?? clientIdOf2017
  if (clientIdNow !== undefined && clientIdOf2017 !== undefined) {
    throw new BrokerError('invalid_request', 'Send either client_id or clientid, not both.')
  }
  if (typeof resource !== 'string' || resource === '') {
    throw new BrokerError('invalid_request', 'The parameter resource must appear exactly once.')
  }
  if (application !== undefined && (typeof application !== 'string' || !isGuid(application))) {
    const what = 'client_id must be the client id of an application or an agent identity, which is a GUID.'
    throw new BrokerError('invalid_request', what)
  }
  const scope = scopeOfResource(resource)
  return checkRequest({ tenant, scope, application: application?.toLowerCase(), agent: named }, application)
}

/**
 * Sends a token. `expires_in` comes after `expires_on`: some SDKs read the former only, and MSAL.NET the last of both, so
 * that a clock that is ahead does not matter. Without `expires_in`, Terraform keeps a token for ever.
 */
function send(reply: FastifyReply, issued: Issued, request: FastifyRequest, withDate = false): FastifyReply {
  const { grant, served } = issued
  const seconds = expiresOn(served)
  const body = {
    access_token: served.token.token,
    expires_on: withDate ? dateOf(seconds) : String(seconds),
    expires_in: String(expiresIn(served)),
    resource: membersOf(request.query)['resource'],
    token_type: 'Bearer',
    ...clientIdOf(grant),
  }
  return reply.headers(tokenHeaders(served, served.how)).send(JSON.stringify(body))
}

/** `client_id`, if it is known: an agent knows only the name of its application. */
function clientIdOf({ clientId: ofApplication, agentId = ofApplication }: Issued['grant']) {
  return isGuid(agentId) ? { client_id: agentId } : {}
}

/** A time as the protocol of 2017-09-01 has it: `M/d/yyyy h:mm:ss tt +00:00`. @param seconds since 1970 */
export function dateOf(seconds: number): string {
  const [year = '', month, day, hour, minute = '', second = ''] = new Date(seconds * 1000).toISOString().split(/[-T:.]/)
  const hours = Number(hour)
  const half = hours < 12 ? 'AM' : 'PM'
  return `${Number(month)}/${Number(day)}/${year} ${hours % 12 || 12}:${minute}:${second} ${half} +00:00`
}
