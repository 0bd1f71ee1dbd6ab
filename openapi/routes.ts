import swagger, { type SwaggerTransform } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { buildApp } from '../src/http/server/app.ts'
import { addDashboard } from '../src/http/operations/dashboard/dashboard.ts'
import { addDocs } from '../src/http/operations/docs.ts'
import { tokenEndpoints } from '../src/http/token-endpoints/all.ts'
import { addEntraDocument } from '../src/http/token-endpoints/entra.ts'
import { addOAuthMetadata } from '../src/http/token-endpoints/oauth.ts'
import { addTokenEndpoint } from '../src/http/token-endpoints/token-endpoint.ts'
import { addOperations } from '../src/http/operations/operations.ts'
import { addPurge } from '../src/http/operations/purge.ts'
import type { ErrorResponse } from '../src/http/schemas/problem-responses.ts'
import { packageRoot, version } from '../src/service/package.ts'

/** The broker's routes with their schemas, for `build.ts`. */

type Schema = Readonly<Record<string, unknown>>

/** A route as @fastify/swagger describes it. */
export interface Route {
  readonly path: string
  readonly method: string
  readonly operationId: string
  readonly parameters?: readonly (Schema & { readonly name: string })[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<Record<string, ErrorResponse>>
}

/** A placeholder for services. No request is sent, so none of them is called. */
const never = (): never => {
  throw new Error('generating openapi.yaml must not call a service')
}

/** All routes of the broker: those of a main listener without a management listener. */
export async function readRoutes(): Promise<readonly Route[]> {
  let read: () => unknown = never
  const app = buildApp({ log: pino({ level: 'silent' }), isDraining: never, responded: never }, [
    scope => {
      // The plugin sees only routes that are added after it, in a scope below its own.
      void scope.register(swagger, { openapi: { openapi: '3.1.0' }, convertConstToEnum: false, transform })
      void scope.register(addRoutes)
      read = () => scope.swagger()
    },
  ])
  await app.ready()
  const { paths } = read() as { paths: Record<string, Record<string, Route>> }
  await app.close()
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => ({ ...route, path, method })),
  )
}

/** Fastify knows no schema of a body that a route reads itself. */
const transform: SwaggerTransform = ({ schema, url, route: { config } }) => ({
  url,
  schema: { ...schema, ...(config?.body && { body: config.body.schema }) },
})

function addRoutes(app: FastifyInstance, _options: object, registered: () => void): void {
  const tokenService = { authenticate: never, authenticateOperator: never, issue: never }
  const adds: readonly ((scope: FastifyInstance) => void)[] = [
    ...tokenEndpoints().map(endpoint => (scope: FastifyInstance) => addTokenEndpoint(scope, tokenService, endpoint)),
    scope => {
      addPurge(scope, {
        tokenService,
        authorizeOperation: never,
        policy: never,
        purge: never,
        events: { purged: never, responded: never },
      })
      addOAuthMetadata(scope, undefined)
      addEntraDocument(scope, { publicUrl: undefined, authority: '' })
    },
    scope => {
      addOperations(scope, {
        tokenService,
        authorizeOperation: never,
        cache: { statistics: never, page: never, failures: never },
        decisions: never,
        metrics: { scrape: never, counters: never },
        responded: never,
        openMetrics: false,
        isReady: never,
        isDraining: never,
        policy: never,
        places: {},
        upstreams: never,
        secondLevel: never,
        ends: never,
        replica: '',
        version,
        startedAt: 0,
        now: never,
      })
      addDashboard(scope, packageRoot, () => undefined)
      addDocs(scope, packageRoot)
    },
  ]
  // Each in a scope of its own, as in the broker.
  for (const add of adds) {
    void app.register((scope, _none, added) => {
      add(scope)
      added()
    })
  }
  registered()
}
