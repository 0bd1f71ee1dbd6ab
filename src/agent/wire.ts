import type { FastifyInstance } from 'fastify'
import { createCache } from '../broker/tokens/cache.ts'
import { chance, type Surroundings } from '../broker/lib/clock.ts'
import { RevalidatingCache } from './revalidating-cache.ts'
import { createTokenService, type TokenService } from '../broker/issue-token.ts'
import { createSecretAuthenticate } from '../broker/authentication/local-secret.ts'
import { createAuthorizeOperation } from '../broker/authorization/authorize-operation.ts'
import { createReadiness, type Need } from '../broker/readiness.ts'
import { createActivePolicy } from '../broker/authorization/active-policy.ts'
import type { BrokerError } from '../errors.ts'
import { buildApp } from '../http/server/app.ts'
import { identityEndpoint, metadataEndpoints, refuseMetadata } from '../http/token-endpoints/identity.ts'
import { localOnly } from './local-only.ts'
import { addOperations, countResponses, type Operations } from '../http/operations/operations.ts'
import { addTokenEndpoint } from '../http/token-endpoints/token-endpoint.ts'
import { tokensEndpoint } from '../http/token-endpoints/tokens.ts'
import { createSubscribers } from '../service/subscribers.ts'
import { parentBroker, parentUpstream, reachParent, type ParentBrokerOptions } from './parent-broker.ts'
import { isWordOfParent } from './parent-failure.ts'
import { readCredential } from './workload-credential.ts'
import { closeListener } from '../service/listeners.ts'
import { notReadyYet } from '../telemetry/not-ready.ts'
import type { LineSink } from '../telemetry/output.ts'
import type { Service } from '../service/wire.ts'
import { authorizeByFlags, policyOfFlags } from './flag-policy.ts'
import type { AgentSettings } from './settings.ts'

const maxEntries = 1_000
/** Questions to the broker at once. */
const concurrency = 16
const minRemainingSeconds = 60
/** More than a broker takes for an exchange, retries included. */
const timeoutMs = 10_000
/** Of that, what a workload waits at most while it could have a token that is held. */
const patienceMs = 1_500
const graceMs = 1_000

/** The statuses with which a broker takes back what it granted. With any other it says that it cannot tell. */
const withdrawing = new Set([400, 401, 403])
const withdraws = ({ status }: BrokerError): boolean => withdrawing.has(status)

/** An agent that is put together but does not listen yet. */
export type AgentService = Omit<Service, 'management' | 'reload' | 'watchPolicy'>

/**
 * Plugs an agent together: what {@link ../wire.ts} makes, with a central broker in the place of Entra, the local secret in
 * the place of issuers, and the flags in the place of a policy.
 *
 * @param secret what its one caller holds
 */
export function wireAgent(
  settings: AgentSettings,
  secret: string,
  sink: LineSink,
  { clock, random }: Pick<Surroundings, 'clock' | 'random'> = chance,
): AgentService {
  const { broker: url, tenant, credential: files } = settings
  const stopping = new AbortController()
  const isDraining = () => stopping.signal.aborted
  const isReady = () => readiness.isReady() && !isDraining()
  const policy = policyOfFlags(tenant)
  const { log, events, telemetry } = createSubscribers(
    {
      audit: 'summary',
      logLevel: settings.logLevel,
      secrets: [secret],
      certificates: false,
      upstreams: () => [parentUpstream(url)],
    },
    createActivePolicy(policy, clock),
    sink,
    { clock, isReady, isDraining, cache: () => view.statistics(), circuit: () => 'closed' },
  )
  const parent = { url, credential: () => readCredential(files), clock, asked: events.asked }
  const { tokens, view } = connectParent(parent, settings, random, { log, events })
  const deciders = {
    authenticate: createSecretAuthenticate(secret, policy),
    authorize: authorizeByFlags(tenant),
    limits: { request: () => undefined },
  }
  const tokenService = createTokenService(deciders, tokens, events)
  const readiness = createReadiness([reachable(parent)], notReadyYet(log), random)
  const authorizeOperation = createAuthorizeOperation(events.forbidden)
  const operations = { ...telemetry, tokenService, authorizeOperation, cache: view }
  const app = buildApp(
    { log, isDraining, answered: events.answered },
    routesOf(settings, secret, tokenService, operations),
  )

  return {
    app,
    log,
    isReady,
    warmUp: () => readiness.reach(stopping.signal),
    drain: () => stopping.abort(),
    close: async () => {
      stopping.abort()
      await closeListener(app, timeoutMs + graceMs)
      telemetry.close()
      sink.flush()
    },
  }
}

/** The broker's tokens, cached, and handed out as long as the broker does not take them back. */
function connectParent(
  parent: ParentBrokerOptions,
  { tenant, revalidateSeconds: everySeconds }: AgentSettings,
  random: () => number,
  { log, events }: Pick<ReturnType<typeof createSubscribers>, 'log' | 'events'>,
) {
  const { clock } = parent
  const confirmation = new RevalidatingCache(parentBroker(parent), {
    clock,
    everySeconds,
    timeoutMs,
    maxWaitMs: patienceMs,
    maxEntries,
    revokes: withdraws,
    isResponse: isWordOfParent,
    revoked: ({ scope, application }, { code, message }) =>
      log.warn({ event: 'token.withdrawn', tenant, scope, application, code }, message),
  })
  const cache = createCache(confirmation.source, {
    clock,
    random,
    maxEntries,
    minRemainingSeconds,
    timeoutMs,
    concurrency,
    events: {
      negativeCacheHit: events.negativeCacheHit,
      refreshed: (grant, outcome, error) => {
        // What was taken back is told as such, and is not served any more.
        if (error === undefined || !withdraws(error)) events.refreshed(grant, outcome, error)
      },
    },
  })
  return { tokens: confirmation.wrap(cache), view: cache.view }
}

const reachable = (parent: ParentBrokerOptions): Need => ({
  name: 'the broker',
  get: () => reachParent(parent, AbortSignal.timeout(timeoutMs)),
})

function routesOf(
  { tenant, metadata }: AgentSettings,
  secret: string,
  tokenService: TokenService,
  operations: Omit<Operations, 'openMetrics'>,
) {
  const endpoints = [
    tokensEndpoint(),
    identityEndpoint({ path: '/identity/token', tenant }),
    ...(metadata ? metadataEndpoints({ tenant, credential: secret }) : []),
  ]
  const routes = [
    ...endpoints.map(endpoint => (scope: FastifyInstance) => addTokenEndpoint(scope, tokenService, endpoint)),
    (scope: FastifyInstance) => {
      if (!metadata) refuseMetadata(scope)
    },
    (scope: FastifyInstance) => {
      countResponses(scope, operations.answered)
      addOperations(scope, { ...operations, openMetrics: true })
    },
  ]
  return routes.map(add => (scope: FastifyInstance) => {
    localOnly(scope)
    add(scope)
  })
}
