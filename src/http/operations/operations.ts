import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { Counters } from '../../broker/counters.ts'
import type { CacheInspector } from '../../broker/tokens/cache-statistics.ts'
import type { TokenService } from '../../broker/issue-token.ts'
import type { AuthorizeOperation } from '../../broker/authorization/authorize-operation.ts'
import type { Events } from '../../broker/events.ts'
import type { DecisionPage, DecisionQuery } from '../../broker/recent-decisions.ts'
import type { ErrorCode } from '../../errors.ts'
import { authenticated, authenticateFor } from '../token-endpoints/credential.ts'
import { reportResponses } from '../server/observation/latency.ts'
import type { OtherEndpoint } from '../server/endpoints.ts'
import { readDecisionQuery, readEntryQuery, readFailureQuery } from './entry-query.ts'
import { decisionsBody, entriesBody, failuresBody } from './list-bodies.ts'
import { cacheBody, healthBody, type HealthFacts } from './operations-bodies.ts'
import { prefersOpenMetrics } from './metrics-format.ts'
import { callerErrors, problems, routeErrors } from '../schemas/problem-responses.ts'
import { decisionQuery, entryQuery, failureQuery } from '../schemas/requests.ts'

/** What the operations endpoints need. */
export interface Operations extends HealthFacts {
  readonly tokenService: Pick<TokenService, 'authenticateOperator'>
  readonly authorizeOperation: AuthorizeOperation
  readonly cache: CacheInspector
  /** The last requests that were denied or failed. */
  readonly decisions: (query: DecisionQuery) => DecisionPage
  readonly metrics: {
    /** The metrics with their content type, in the text format or in OpenMetrics. */
    readonly scrape: (openMetrics: boolean) => Promise<{ readonly text: string; readonly contentType: string }>
    /** The same counters as values. */
    readonly counters: () => Promise<Counters>
  }
  readonly responded: Events['responded']
  /** Whether `/metrics` needs no credential: on a listener that only operators reach. */
  readonly openMetrics: boolean
}

const noStore = ['cache-control', 'no-store'] as const

/** Every error of a route that needs `observe`. */
const observeErrors = [...routeErrors, ...callerErrors, 'not_permitted'] as const

/**
 * Adds the operations endpoints. The probes need no credential and return only a status: `/livez` whether the process is
 * alive, `/readyz` whether it is ready for requests. All others need the permission `observe`, except that `/metrics` may
 * be open. None of them sends a request upstream, so observing an overloaded broker adds no load.
 */
export function addOperations(app: FastifyInstance, operations: Operations): void {
  addProbes(app, operations)
  const { cache, metrics, openMetrics } = operations
  const addRoute = routeAdder(app, operations)

  addRoute('/health', 'health', true, schemaOf('getHealth'), (_request, reply) => reply.send(healthBody(operations)))
  addRoute('/metrics', 'metrics', !openMetrics, schemaOf('getMetrics'), async (request, reply) => {
    const { text, contentType } = await metrics.scrape(prefersOpenMetrics(request.headers.accept))
    return reply.header('content-type', contentType).header('vary', 'Accept').send(text)
  })
  addRoute('/cache', 'cache', true, schemaOf('getCache'), async (_request, reply) => {
    const counters = await metrics.counters()
    return reply.send(cacheBody(cache.statistics(), counters, operations))
  })
  addLists(addRoute, operations)
}

/** Adds the endpoints that list something, page by page. */
function addLists(addRoute: ReturnType<typeof routeAdder>, { cache, decisions, policy: active }: Operations): void {
  const entries = { ...schemaOf('listCacheEntries', 'invalid_tenant'), querystring: entryQuery }
  addRoute('/cache/entries', 'cache_entries', true, entries, (request, reply) => {
    const { policy } = active()
    const query = readEntryQuery(request.query, policy)
    return reply.send(entriesBody(cache.page(query), query, policy))
  })
  const decided = { ...schemaOf('listDecisions', 'invalid_tenant'), querystring: decisionQuery }
  addRoute('/decisions', 'decisions', true, decided, (request, reply) => {
    const { policy } = active()
    return reply.send(decisionsBody(decisions(readDecisionQuery(request.query, policy)), policy))
  })
  const failures = { ...schemaOf('listCacheFailures', 'invalid_tenant'), querystring: failureQuery }
  addRoute('/cache/failures', 'cache_failures', true, failures, (request, reply) => {
    const { policy } = active()
    return reply.send(failuresBody(cache.failures(readFailureQuery(request.query, policy)), policy))
  })
}

/** The schema of a guarded route, for `openapi.yaml` only: it validates nothing. */
const schemaOf = (operationId: string, ...more: readonly ErrorCode[]): FastifySchema => ({
  operationId,
  response: problems(...observeErrors, ...more),
})

/**
 * Counts every successful response of the routes added to this scope from now on, and times every response; errors are
 * counted elsewhere.
 */
export function countResponses(app: FastifyInstance, responded: Events['responded']): void {
  reportResponses(app)
  app.addHook('onResponse', ({ routeOptions }, { statusCode }, done) => {
    const { endpoint } = routeOptions.config
    if (endpoint !== undefined && statusCode < 400) responded(endpoint, 'ok')
    done()
  })
}

function addProbes(app: FastifyInstance, operations: Operations): void {
  const schema = probeSchema('getLiveness')
  app.get('/livez', { schema, config: { endpoint: 'livez' } }, (_request, reply) =>
    reply.header(...noStore).send({ status: 'ok' }),
  )
  addReadiness(app, '/readyz', operations)
}

const probeSchema = (operationId: string) => ({ operationId, response: problems(...routeErrors) })

/** Adds the probe of readiness: 200 if the process is ready for requests, else 503. It is counted as `readyz`. */
export function addReadiness(
  app: FastifyInstance,
  path: string,
  { isReady, responded }: Pick<Operations, 'isReady' | 'responded'>,
): void {
  app.get(path, { schema: probeSchema('getReadiness'), config: { endpoint: 'readyz' } }, (_request, reply) => {
    const ready = isReady()
    if (!ready) responded('readyz', 'not_ready')
    return reply
      .code(ready ? 200 : 503)
      .header(...noStore)
      .send({ status: ready ? 'ready' : 'not ready' })
  })
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => FastifyReply | Promise<FastifyReply>

/** Returns a function that adds a GET route. A guarded one needs the permission `observe`. */
const routeAdder =
  (app: FastifyInstance, { tokenService, authorizeOperation }: Operations) =>
  (url: string, endpoint: OtherEndpoint, guarded: boolean, schema: FastifySchema, handler: Handler): void => {
    const operators = { authenticate: tokenService.authenticateOperator }
    const options = guarded ? { onRequest: authenticateFor({ endpoint, tokenService: operators }) } : {}
    app.get(url, { ...options, schema, config: { endpoint } }, (request, reply) => {
      if (guarded) {
        const { caller, facts } = authenticated(request)
        authorizeOperation(caller, 'observe', facts)
      }
      return handler(request, reply.header(...noStore))
    })
  }
