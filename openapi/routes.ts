import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { buildApp } from '../src/http/server/app.ts'
import { addDocs } from '../src/http/operations/docs.ts'
import { addEntraDocument, addEntraToken } from '../src/http/token-endpoints/entra.ts'
import { addIdentity } from '../src/http/token-endpoints/identity.ts'
import { addOAuth, addOAuthMetadata } from '../src/http/token-endpoints/oauth.ts'
import { addOperations } from '../src/http/operations/operations.ts'
import { addPurge } from '../src/http/operations/purge.ts'
import type { DialectResponse } from '../src/http/schemas/protocol-responses.ts'
import type { ProblemResponse } from '../src/http/schemas/problem-responses.ts'
import { addTokens } from '../src/http/token-endpoints/tokens.ts'
import { packageRoot, version } from '../src/service/package.ts'

/** What the routes of the broker say of themselves, for `openapi.ts`. */

type Schema = Readonly<Record<string, unknown>>

/** A route as @fastify/swagger reads it. */
export interface Route {
  readonly path: string
  readonly method: string
  readonly operationId: string
  readonly parameters?: readonly (Schema & { readonly name: string })[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<Record<string, ProblemResponse | DialectResponse>>
}

/** No request is sent, so no service is ever called. */
const never = (): never => {
  throw new Error('the description calls no service')
}

/** The routes of a main listener that has all of them. */
export async function readRoutes(): Promise<readonly Route[]> {
  let read: () => unknown = never
  const app = buildApp({ log: pino({ level: 'silent' }), isDraining: never, answered: never }, [
    scope => {
      // The plugin first, and the routes in a scope below its own: it sees no others.
      void scope.register(swagger, { openapi: { openapi: '3.1.0' }, convertConstToEnum: false })
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

function addRoutes(app: FastifyInstance, _options: object, registered: () => void): void {
  const issuer = { authenticate: never, issue: never }
  const adds: readonly ((scope: FastifyInstance) => void)[] = [
    ...[addTokens, addOAuth, addEntraToken, addIdentity].map(add => (scope: FastifyInstance) => add(scope, issuer)),
    scope => {
      addPurge(scope, {
        issuer,
        permit: never,
        policy: never,
        forget: never,
        events: { purged: never, answered: never },
      })
      addOAuthMetadata(scope, undefined)
      addEntraDocument(scope, { publicUrl: undefined, authority: '' })
    },
    scope => {
      addOperations(scope, {
        issuer,
        permit: never,
        cache: { statistics: never, page: never },
        metrics: { scrape: never, contentType: '' },
        answered: never,
        openMetrics: false,
        isReady: never,
        isDraining: never,
        policy: never,
        upstreams: never,
        version,
        startedAt: 0,
      })
      addDocs(scope, packageRoot)
    },
  ]
  // Each in a scope of its own, since each reads bodies of its own.
  for (const add of adds) {
    void app.register((scope, _none, added) => {
      add(scope)
      added()
    })
  }
  registered()
}
