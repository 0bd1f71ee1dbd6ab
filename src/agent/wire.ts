import type { FastifyInstance } from 'fastify'
import { createCache } from '../broker/tokens/cache.ts'
import { systemRuntime, type Runtime } from '../broker/lib/clock.ts'
import { RevalidatingCache } from './revalidating-cache.ts'
import { createTokenService, type TokenService } from '../broker/issue-token.ts'
import { createSecretAuthenticate } from '../broker/authentication/local-secret.ts'
import { createAuthorizeOperation } from '../broker/authorization/authorize-operation.ts'
import type { Policy } from '../broker/policy/model.ts'
import { createReadiness, type Need } from '../broker/readiness.ts'
import { createActivePolicy } from '../broker/authorization/active-policy.ts'
import type { BrokerError } from '../errors.ts'
import { buildApp } from '../http/server/app.ts'
import { identityEndpoint, metadataEndpoint, refuseMetadata } from '../http/token-endpoints/identity.ts'
import { localOnly } from './local-only.ts'
import { sidecarEndpoints } from './sidecar.ts'
import { addOperations, addReadiness, countResponses, type Operations } from '../http/operations/operations.ts'
import { addTokenEndpoint } from '../http/token-endpoints/token-endpoint.ts'
import { tokensEndpoint } from '../http/token-endpoints/tokens.ts'
import { createSubscribers, type SubscriberSettings } from '../service/subscribers.ts'
import { parentBroker, parentUpstream, checkReachable, type ParentBrokerOptions } from './parent-broker.ts'
import { isBrokerRefusal } from './parent-failure.ts'
import { readCredential } from '../caller/workload-credential.ts'
import { createEgress } from '../outbound/network/egress.ts'
import { connectOpenTelemetry } from '../service/opentelemetry.ts'
import { closeListener } from '../service/listeners.ts'
import { replicaName } from '../config/replica-name.ts'
import { notReadyYet } from '../telemetry/not-ready.ts'
import type { LineSink } from '../telemetry/output.ts'
import type { Service } from '../service/wire.ts'
import { authorizeByFlags, policyOfFlags } from './flag-policy.ts'
import type { AgentSettings } from './settings.ts'

const maxEntries = 1_000
/** Concurrent requests to the broker at most. */
const concurrency = 16
const minRemainingSeconds = 60
/** Longer than a broker takes for an exchange with its retries, by default. */
const timeoutMs = 10_000
/** How long a workload whose token is cached waits for the broker at most. */
const maxWaitMs = 1_500
/** Milliseconds beyond {@link timeoutMs} in which open requests may end when the agent stops. */
const graceMs = 1_000

/** The statuses with which the broker revokes what it granted. Any other means that it cannot decide now. */
const revokingStatuses = new Set([400, 401, 403])
const revokes = ({ status }: BrokerError): boolean => revokingStatuses.has(status)

/** An agent whose parts are connected, but that does not listen yet. */
export type AgentService = Omit<Service, 'management' | 'reload' | 'watchPolicy'>

/**
 * Makes the parts of an agent and connects them. It has the parts of a broker, except that a central broker replaces
 * Entra, the local secret replaces issuers, and flags replace the policy file.
 *
 * @param secret the local secret, which its only caller must send
 * @param sink where log and audit lines are written
 */
export async function wireAgent(
  settings: AgentSettings,
  secret: string,
  sink: LineSink,
  runtime: Pick<Runtime, 'clock' | 'random'> = systemRuntime,
): Promise<AgentService> {
  const { clock, random } = runtime
  const { tenant, tracing, proxy } = settings
  const replica = replicaName()
  const stopping = new AbortController()
  const isDraining = () => stopping.signal.aborted
  const isReady = () => readiness.isReady() && !isDraining()
  const policy = policyOfFlags(tenant)
  const { log, events, telemetry } = createSubscribers(
    subscriberSettings(settings, secret),
    createActivePolicy(policy, clock),
    sink,
    { clock, replica, isReady, isDraining, cache: () => view.statistics(), ...neverInAgents },
  )
  const exported = { tracing, metricsExport: undefined, proxy }
  const otel = await connectOpenTelemetry(exported, runtime, { log, replica, metrics: telemetry.metrics })
  const parent = parentOf(settings, otel.traced, events)
  const { tokens, view } = connectParent(parent, settings, random, { log, events })
  const tokenService = createTokenService(decidersOf(secret, tenant, policy), tokens, events)
  const readiness = createReadiness([reachable(parent)], notReadyYet(log), random)
  const authorizeOperation = createAuthorizeOperation(events.forbidden)
  const operations = { ...telemetry, places: {}, tokenService, authorizeOperation, cache: view }
  const { responded, connectionDropped, responseReady } = events
  const observation = { spans: otel.serverSpans, timing: { monotonic: clock.monotonic, responseReady } }
  const options = { log, isDraining, flushLog: sink.flush, responded, connectionDropped, observation }
  const app = buildApp(options, agentRoutes(settings, secret, tokenService, operations))

  return {
    app,
    log,
    isReady,
    warmUp: () => readiness.reach(stopping.signal),
    drain: () => stopping.abort(),
    close: async () => {
      stopping.abort()
      await closeListener(app, timeoutMs + graceMs)
      await otel.close()
      telemetry.close()
      sink.flush()
    },
  }
}

const subscriberSettings = (
  { broker, logLevel, proxy, tracing }: AgentSettings,
  secret: string,
): SubscriberSettings => ({
  audit: 'summary',
  logLevel,
  secrets: [secret, ...(proxy?.secrets ?? []), ...(tracing?.secrets ?? [])],
  certificates: false,
  upstreams: () => [parentUpstream(broker)],
})

/** Who may use the agent, and what for. It has no limits. */
const decidersOf = (secret: string, tenant: string, policy: Policy) => ({
  authenticate: createSecretAuthenticate(secret, policy),
  authorize: authorizeByFlags(tenant),
  limits: { chargeRequest: () => undefined },
})

const parentOf = (
  { broker: url, credential, proxy }: AgentSettings,
  { clock, spans }: Pick<Runtime, 'clock' | 'spans'>,
  { upstreamCalled }: Pick<ParentBrokerOptions, 'upstreamCalled'>,
): ParentBrokerOptions => ({
  url,
  egress: createEgress(proxy, { keepAlive: false, connectWithinMs: timeoutMs }),
  credential: () => readCredential(credential),
  clock,
  spans,
  upstreamCalled,
})

/** The tokens of the central broker, cached, and revalidated with it. */
function connectParent(
  parent: ParentBrokerOptions,
  { tenant, revalidateSeconds }: AgentSettings,
  random: () => number,
  { log, events }: Pick<ReturnType<typeof createSubscribers>, 'log' | 'events'>,
) {
  const { clock } = parent
  const revalidation = new RevalidatingCache(parentBroker(parent), {
    clock,
    revalidateSeconds,
    timeoutMs,
    maxWaitMs,
    maxEntries,
    revokes,
    isSourceError: isBrokerRefusal,
    revoked: ({ scope, application, agent }, { code, message }) =>
      log.warn({ event: 'token.revoked', tenant, scope, application, agent, code }, message),
  })
  const cache = createCache(revalidation.source, {
    clock,
    random,
    ...(parent.spans && { spans: parent.spans }),
    maxEntries,
    minRemainingSeconds,
    timeoutMs,
    concurrency,
    events: {
      negativeCacheHit: events.negativeCacheHit,
      refreshed: (grant, outcome, error) => {
        // A revoked token is reported as revoked, not as a failed refresh that still has a valid token.
        if (error === undefined || !revokes(error)) events.refreshed(grant, outcome, error)
      },
    },
  })
  return { tokens: revalidation.wrap(cache), view: cache.view }
}

/** The broker has these, if anything has: an agent uses neither TLS nor Redis. */
const neverInAgents = { circuit: () => 'closed' as const, certificates: () => [], secondLevel: () => undefined }

const reachable = (parent: ParentBrokerOptions): Need => ({
  name: 'the broker',
  get: () => checkReachable(parent, AbortSignal.timeout(timeoutMs)),
})

function agentRoutes(
  { tenant, metadata, sidecar }: AgentSettings,
  secret: string,
  tokenService: TokenService,
  operations: Omit<Operations, 'openMetrics'>,
) {
  const endpoints = [
    tokensEndpoint(),
    identityEndpoint({ path: '/identity/token', tenant }),
    ...(metadata ? [metadataEndpoint({ tenant, credential: secret })] : []),
    ...(sidecar ? sidecarEndpoints({ tenant, credential: secret }) : []),
  ]
  const routes = [
    ...endpoints.map(endpoint => (scope: FastifyInstance) => addTokenEndpoint(scope, tokenService, endpoint)),
    (scope: FastifyInstance) => {
      if (!metadata) refuseMetadata(scope)
    },
    (scope: FastifyInstance) => {
      countResponses(scope, operations.responded)
      addOperations(scope, { ...operations, openMetrics: true })
      // Where clients of the Entra sidecar look.
      if (sidecar) addReadiness(scope, '/healthz', operations)
    },
  ]
  return routes.map(add => (scope: FastifyInstance) => {
    localOnly(scope)
    add(scope)
  })
}
