import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { membersOf } from '../../broker/lib/json-members.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Issued, TokenIssuer } from '../../broker/issue-token.ts'
import type { Ask } from '../../broker/authorization/authorize.ts'
import { BrokerError } from '../../errors.ts'
import type { CredentialOf } from './credential.ts'
import { addTokenRoute, twoCredentials } from './token-endpoint.ts'
import { identityProblem, identityStatuses } from './identity-errors.ts'
import { dialectErrors, dialectResponses, identityQuery, tenantPath } from '../schemas/protocol-responses.ts'
import { expiresIn, expiresOn, tokenHeaders } from './token-response.ts'
import { askFrom } from './token-request.ts'

/** Where the identity protocol is spoken, and for which tenant. */
export interface IdentityOptions {
  /** With `:tenant` in it unless {@link tenant} is given. */
  readonly path: string
  /** The one tenant whose tokens there are. */
  readonly tenant?: string
}

/** What the broker speaks; the agent has one tenant and therefore none in the path. */
const tenantInPath: IdentityOptions = { path: '/identity/:tenant/token' }

const schema = {
  operationId: 'getIdentityToken',
  params: tenantPath,
  querystring: identityQuery,
  response: dialectResponses('IdentityError', code => identityStatuses[code], dialectErrors),
}

/**
 * Adds the identity protocol of App Service and Container Apps
 * (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference), which Azure SDKs
 * speak to whatever `IDENTITY_ENDPOINT` names: `X-IDENTITY-HEADER` is the credential. `api-version`, `object_id`,
 * `principal_id`, `mi_res_id` and what is not known are passed over.
 */
export function addIdentity(app: FastifyInstance, issuer: TokenIssuer, options = tenantInPath): void {
  addTokenRoute<unknown>(app, issuer, {
    endpoint: 'identity',
    method: 'GET',
    path: options.path,
    ...(options.tenant === undefined && { schema }),
    below: '/identity/',
    credential: identityHeader,
    bearerOnly: true,
    readAsk: request => {
      if (request.headers.authorization !== undefined) throw twoCredentials()
      return readAsk(request, options.tenant)
    },
    answer: (reply, issued, request) => send(reply, issued, answerOf(issued, request)),
    answerError: identityProblem,
  })
}

/** Options of the metadata protocol. */
export interface MetadataOptions {
  readonly tenant: string
  /** What stands for the caller, since the protocol has no credential. */
  readonly credential: string
}

/** Fastify takes a path with a slash at its end for another one; some SDKs ask with it. */
const metadataPaths = ['/metadata/identity/oauth2/token', '/metadata/identity/oauth2/token/'] as const
const metadataEndpoint = { endpoint: 'metadata', below: '/metadata/', answerError: identityProblem } as const

/**
 * Adds the metadata protocol of Azure's virtual machines
 * (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token). It carries no
 * credential: whoever reaches it gets a token. `Metadata: true` keeps out what a browser or a proxy can be made to send.
 */
export function addMetadata(app: FastifyInstance, issuer: TokenIssuer, { tenant, credential }: MetadataOptions): void {
  for (const path of metadataPaths) {
    addTokenRoute<unknown>(app, issuer, {
      ...metadataEndpoint,
      method: 'GET',
      path,
      bearerOnly: true,
      credential: ({ headers }) => {
        if (headers['metadata'] === 'true') return credential
        throw new BrokerError('invalid_request', 'Send the header "Metadata: true".')
      },
      readAsk: request => readAsk(request, tenant),
      answer: (reply, issued, request) =>
        send(reply, issued, { ...answerOf(issued, request), expires_in: String(expiresIn(issued.served)) }),
    })
  }
}

/** Says where the metadata protocol would be that it is not spoken: SDKs would ask for a minute again after a 404. */
export function refuseMetadata(app: FastifyInstance): void {
  for (const path of metadataPaths) {
    app.get(path, { config: metadataEndpoint }, () => {
      throw new BrokerError('not_found', 'This agent does not speak the metadata protocol.', {
        remedy: 'Start it with --metadata, or set IDENTITY_ENDPOINT and IDENTITY_HEADER as it prints them.',
      })
    })
  }
}

const identityHeader: CredentialOf = ({ headers }) => {
  const credential = headers['x-identity-header']
  return typeof credential === 'string' ? credential : undefined
}

function readAsk({ query, params }: FastifyRequest, tenant = membersOf(params)['tenant']): Ask {
  const { resource, client_id: clientId } = membersOf(query)
  if (typeof resource !== 'string' || resource === '') {
    throw new BrokerError('invalid_request', 'The parameter resource must be there, once.')
  }
  if (clientId !== undefined && (typeof clientId !== 'string' || !isGuid(clientId))) {
    throw new BrokerError('invalid_request', "client_id must be an application's client id, a GUID.")
  }
  return askFrom({
    tenant,
    scope: resource.endsWith('/.default') ? resource : `${resource}/.default`,
    application: clientId?.toLowerCase(),
  })
}

/** Neither `expires_in` nor a date in words: of the SDKs, one takes the last that it finds and one fails on dates. */
const answerOf = ({ grant, served }: Issued, { query }: FastifyRequest) => ({
  access_token: served.token.token,
  expires_on: String(expiresOn(served)),
  resource: membersOf(query)['resource'],
  token_type: 'Bearer',
  // An agent knows its application by name only.
  ...(isGuid(grant.clientId) && { client_id: grant.clientId }),
})

const send = (reply: FastifyReply, { served }: Issued, body: object): FastifyReply =>
  reply.headers(tokenHeaders(served, served.how)).send(JSON.stringify(body))
