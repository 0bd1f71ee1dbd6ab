import type { FastifyInstance } from 'fastify'
import { Compile } from 'typebox/compile'
import type { Events, FetchFilter, PurgeReach } from '../../broker/events.ts'
import type { TokenService } from '../../broker/issue-token.ts'
import type { AuthorizeOperation } from '../../broker/authorization/authorize-operation.ts'
import type { Policy } from '../../broker/policy/model.ts'
import type { Purged } from '../../broker/tokens/cache.ts'
import { BrokerError } from '../../errors.ts'
import { authenticated, authenticateFor } from '../token-endpoints/credential.ts'
import { reportResponses } from '../server/observation/latency.ts'
import { callerErrors, problems, routeErrors } from '../schemas/problem-responses.ts'
import { purgeQuery } from '../schemas/requests.ts'
import { shapeError, type FieldErrors } from '../token-endpoints/requests/shape-error.ts'
import { fieldErrors } from '../token-endpoints/requests/token-request.ts'
import { agentIdOf, tenantIdOf } from './policy-names.ts'

const endpoint = 'purge'
const shape = Compile(purgeQuery)

/** Every error that `DELETE /tokens` can return. */
const errors = [...routeErrors, ...callerErrors, 'not_permitted', 'invalid_tenant', 'invalid_scope'] as const

/** What `DELETE /tokens` needs. */
export interface Purge {
  readonly tokenService: Pick<TokenService, 'authenticateOperator'>
  readonly authorizeOperation: AuthorizeOperation
  /** The active policy. */
  readonly policy: () => { readonly policy: Policy }
  /** Removes what matches from the cache, on all replicas if they share a second level. Does not reject. */
  readonly purge: (filter: FetchFilter) => Promise<Purged>
  readonly events: Pick<Events, 'purged' | 'responded'>
}

/**
 * Adds `DELETE /tokens`, for callers with the permission `purge`. It removes matching tokens from the cache and matching
 * failures from the negative cache. Tokens that were already issued stay valid: Entra does not revoke them. The response
 * says `all` only if every live replica has confirmed the purge.
 */
export function addPurge(
  app: FastifyInstance,
  { tokenService, authorizeOperation, policy, purge, events }: Purge,
): void {
  reportResponses(app)
  app.delete('/tokens', {
    schema: { operationId: 'purgeTokens', querystring: purgeQuery, response: problems(...errors) },
    config: { endpoint },
    onRequest: authenticateFor({ endpoint, tokenService: { authenticate: tokenService.authenticateOperator } }),
    handler: async (request, reply) => {
      const { caller, facts } = authenticated(request)
      authorizeOperation(caller, 'purge', facts)
      const filter = readFilter(request.query, policy().policy)
      const { dropped, reach } = await purge(filter)
      events.purged(facts, caller, filter, dropped, reach)
      events.responded(endpoint, 'ok')
      return reply.header('cache-control', 'no-store').send({ dropped, ...replicasOf(reach) })
    },
  })
}

/** Which replicas were purged, as the response says it. */
function replicasOf(reach: PurgeReach | undefined) {
  if (reach?.live === undefined) return { replicas: 'this' }
  const { live, confirmed } = reach
  return confirmed === live ? { replicas: 'all' } : { replicas: 'this', confirmed, live }
}

/** The error code and detail for each invalid parameter. */
const parameterErrors: FieldErrors = {
  tenant: fieldErrors.tenant,
  scope: fieldErrors.scope,
  application: ['invalid_request', 'application must be the name of an application in the policy.'],
  agent: ['invalid_request', 'agent must be the name of an agent identity in the policy.'],
  all: ['invalid_request', 'all must be "true", or absent.'],
}

/** Reads the query into a filter. A name that the policy does not define matches nothing. */
function readFilter(query: unknown, policy: Policy): FetchFilter {
  if (!shape.Check(query)) {
    throw shapeError(shape.Errors(query), query, parameterErrors, 'parameter', 'The query is malformed.')
  }
  const { tenant, scope, application, agent, all } = query
  const isFiltered = [tenant, scope, application, agent].some(part => part !== undefined)
  if (isFiltered === (all !== undefined)) {
    throw new BrokerError(
      'invalid_request',
      'Specify what to purge: tenant, scope, application, agent, or all=true by itself.',
    )
  }
  return {
    ...(tenant !== undefined && { tenant: tenantIdOf(tenant, policy) }),
    ...(application !== undefined && clientOf(application, policy)),
    ...(agent !== undefined && { agentId: agentIdOf(agent, policy) }),
    ...(scope !== undefined && { scope: policy.scopes.get(scope) ?? scope }),
  }
}

/** The application with a name or client id. Requests name an agent identity by its client id too, and so may a purge. */
function clientOf(application: string, { applications, index }: Policy): FetchFilter {
  return index.agent(application) === undefined
    ? { clientId: applications.get(application) ?? application }
    : { agentId: application }
}
