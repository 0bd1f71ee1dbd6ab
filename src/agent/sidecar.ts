import type { FastifyRequest } from 'fastify'
import { isName, scopePattern } from '../broker/lib/identifiers.ts'
import { membersOf } from '../broker/lib/json-members.ts'
import { quoted } from '../broker/lib/text/quoted.ts'
import type { TokenRequest } from '../broker/policy/model.ts'
import { BrokerError, errorTable, type ErrorCode } from '../errors.ts'
import { problemDetails, problemOf, type Protocol } from '../http/server/problems.ts'
import { traceIdOf } from '../http/server/observation/server-spans.ts'
import { bearer, type CredentialOf } from '../http/token-endpoints/credential.ts'
import type { TokenEndpoint } from '../http/token-endpoints/token-endpoint.ts'
import { checkRequest } from '../http/token-endpoints/requests/token-request.ts'
import { tokenHeaders } from '../http/token-endpoints/token-response.ts'
import { withExpectedScope } from './expected-scope.ts'

/** Options of the sidecar protocol. */
export interface SidecarOptions {
  /** The tenant of all tokens, as in `--tenant`. */
  readonly tenant: string
  /** The credential of the requests without one. */
  readonly credential: string
}

/**
 * The part of the protocol of the Microsoft Entra ID Auth SDK (sidecar) that gets application tokens
 * (https://learn.microsoft.com/entra/msidweb/agent-id-sdk/endpoints). The name in the path is a name under `scopes` in the
 * broker's policy, in the place of one under `DownstreamApis`. The tenant is the agent's, and the application `default`.
 *
 * `/AuthorizationHeaderUnauthenticated/{name}` has no credential: every process of the host gets a token.
 * `/AuthorizationHeader/{name}` needs the local secret, in the place of a user's token. There is no exchange on behalf of a
 * user, no call of the API, and no override: see {@link readOverrides}.
 */
export const sidecarEndpoints = ({ tenant, credential }: SidecarOptions): readonly TokenEndpoint[] => [
  endpoint('authorization_header', 'AuthorizationHeader', tenant, bearer),
  endpoint('authorization_header_unauthenticated', 'AuthorizationHeaderUnauthenticated', tenant, request => {
    refuseUnsafe(request)
    return credential
  }),
]

/** Statuses of 5xx that waiting does not end: Microsoft's Agents SDKs repeat each of them three times, in 14 s. */
const unretried: ReadonlySet<number> = new Set([502])

/** Problem details, as the Entra sidecar returns them. */
const sidecarProblems: Protocol = {
  errorSchema: problemDetails.errorSchema,
  mediaType: problemDetails.mediaType,
  statusOf,
  writeError: (error, request) => problemOf(error, request.id, traceIdOf(request), statusOf(error.code)),
}

function statusOf(code: ErrorCode): number {
  const { status } = errorTable[code]
  return unretried.has(status) ? 400 : status
}

const endpoint = (name: string, path: string, tenant: string, credential: CredentialOf): TokenEndpoint => ({
  name,
  operationId: `get${path}`,
  method: 'GET',
  path: `/${path}/:name`,
  protocol: sidecarProblems,
  credential,
  bearerOnly: true,
  readRequest: request => readRequest(request, tenant),
  writeToken: (reply, { served }) =>
    reply
      .headers(tokenHeaders(served, served.how))
      .send(JSON.stringify({ authorizationHeader: `Bearer ${served.token.token}` })),
})

/**
 * Refuses what the path without a credential must not serve: a request on behalf of a user, who would get the rights of
 * the application, and a request that a browser sends for a page. Throws `invalid_request`.
 */
function refuseUnsafe({ headers }: FastifyRequest): void {
  if (headers.authorization !== undefined) {
    throw new BrokerError(
      'invalid_request',
      'This path returns a token of the application, and no token on behalf of a user. Send no Authorization header.',
    )
  }
  // Browsers send one of them for a page of another origin; clients of an API send neither.
  if (headers['sec-fetch-site'] !== undefined || headers.origin !== undefined) {
    throw new BrokerError('invalid_request', 'This path serves no requests of browsers.')
  }
}

function readRequest(request: FastifyRequest, tenant: string): TokenRequest {
  const { name } = membersOf(request.params)
  if (typeof name !== 'string' || !isName(name)) {
    const what =
      "The path must end with a scope's name in the policy (at most 63 lower-case letters, digits, dots and hyphens)"
    throw new BrokerError('invalid_scope', `${what}. It ends with ${quoted(String(name))}.`)
  }
  const expected = readOverrides(membersOf(request.query))
  const read = checkRequest({ tenant, scope: name, application: undefined })
  return expected === undefined ? read : { ...read, scope: withExpectedScope(name, expected) }
}

const scopeShape = new RegExp(`^${scopePattern}$`)

/**
 * Reads the query. Overrides are refused, because in the Entra sidecar they were the way to any tenant, to any scope, and
 * to the client assertion itself. Microsoft's Agents SDKs always send two that need not change anything, and these are
 * accepted if they do not: `optionsOverride.RequestAppToken=true`, since all tokens are the application's, and one
 * `optionsOverride.Scopes` that is the very scope for which the name stands, which the broker knows.
 *
 * @returns the scope for which the name must stand; `undefined` if any will do
 * @throws BrokerError `invalid_request`
 */
function readOverrides(query: Readonly<Record<string, unknown>>): string | undefined {
  for (const [parameter, value] of Object.entries(query)) {
    if (!isUnchanging(parameter, value)) throw override(parameter)
  }
  const scope = query['optionsOverride.Scopes']
  return typeof scope === 'string' ? scope : undefined
}

const isUnchanging = (parameter: string, value: unknown): boolean =>
  typeof value === 'string' &&
  ((parameter === 'optionsOverride.RequestAppToken' && value.toLowerCase() === 'true') ||
    (parameter === 'optionsOverride.Scopes' && scopeShape.test(value)))

const override = (parameter: string): BrokerError =>
  new BrokerError('invalid_request', `This agent accepts no overrides; the request has ${quoted(parameter, 64)}.`, {
    remedy:
      "The agent's --tenant decides the tenant, and the broker's policy the scope of the name in the path. " +
      'optionsOverride.RequestAppToken may be true, and optionsOverride.Scopes the one scope of the name, which ends in /.default.',
  })
