import type { FastifyInstance } from 'fastify'
import type { Observer } from '../broker/lib/async/timed.ts'
import { createAuthenticate, type Issuer } from '../broker/authentication/authenticate.ts'
import { createCache, type ManagedCache } from '../broker/tokens/cache.ts'
import { createCertificateVerifier } from '../broker/authentication/client-certificates.ts'
import { systemRuntime, type Clock, type Runtime } from '../broker/lib/clock.ts'
import { createTokenService } from '../broker/issue-token.ts'
import { createAssertionCache } from '../broker/tokens/assertion-cache.ts'
import { readyKeys } from '../broker/authentication/jwks.ts'
import { createRateLimits, type RateLimits } from '../broker/authorization/rate-limits.ts'
import { createAuthorizeOperation } from '../broker/authorization/authorize-operation.ts'
import { createAuthorize } from '../broker/authorization/authorize.ts'
import { noSpans } from '../broker/lib/spans.ts'
import { hasAgent } from '../broker/policy/decide.ts'
import type { Policy } from '../broker/policy/model.ts'
import { createReadiness, type Need } from '../broker/readiness.ts'
import { createActivePolicy, type ActivePolicy } from '../broker/authorization/active-policy.ts'
import { createSignatureLimiter } from '../broker/authentication/signature-limiter.ts'
import type { AssertionSource, Events, TokenSource } from '../broker/events.ts'
import { tokenExchangeOf } from '../config/clouds.ts'
import { identityAddress, type Config } from '../config/config.ts'
import { addressOf } from '../config/redis.ts'
import { createSubscribers, identityUpstream, subscriberSettingsOf } from './subscribers.ts'
import { createCircuit } from '../outbound/entra/circuit-breaker.ts'
import type { FollowedAuthorities } from '../outbound/files/client-authorities.ts'
import { createAgentAssertions, type AgentPlace } from '../outbound/entra/agent-assertions.ts'
import { entra } from '../outbound/entra/entra.ts'
import { managedIdentity } from '../outbound/entra/managed-identity.ts'
import { createEgress } from '../outbound/network/egress.ts'
import { withRetries } from '../outbound/entra/retry.ts'
import { workloadIdentity } from '../outbound/entra/workload-identity.ts'
import { followCertificates } from './certificates.ts'
import { closeInTurn, orClose } from './closing.ts'
import { replicaName } from '../config/replica-name.ts'
import { connectSecondLevel, type CreateSecondLevel } from './second-level.ts'
import { connectSignIn } from './sign-in.ts'
import { startPolicyReloader } from './policy-reload.ts'
import { connectOpenTelemetry } from './opentelemetry.ts'
import { buildListeners } from './listeners.ts'
import type { Logs } from '../telemetry/log.ts'
import { notReadyYet } from '../telemetry/not-ready.ts'
import type { LineSink } from '../telemetry/output.ts'

/** A broker with all its parts, which does not listen yet. */
export interface Service {
  readonly app: FastifyInstance
  /** The operations endpoints, if they have a listener of their own. */
  readonly management: FastifyInstance | undefined
  readonly log: Logs['log']
  /** Fetches what readiness waits for. Settles once ready, or on {@link drain} or {@link close}. */
  readonly warmUp: () => Promise<void>
  /** Whether it should get requests: everything it needs has been fetched at least once, and it is not draining. */
  readonly isReady: () => boolean
  /** Makes it unready. Requests are still served; each connection is closed after its response. */
  readonly drain: () => void
  /** Reads the policy file again, and the files it names. An invalid policy is reported and changes nothing. */
  readonly reload: () => Promise<void>
  /** From now on, reloads the policy whenever its files may have changed. */
  readonly watchPolicy: () => void
  /** Writes the responses to requests in progress, then stops. */
  readonly close: () => Promise<void>
}

const policyNotWatched = 'the policy file cannot be watched; it is checked once a minute'

/**
 * The composition root: the only place that creates the broker's parts and connects them.
 * @throws InvalidConfigurationError if a file that the configuration or the policy names cannot be used
 */
export async function wire(
  config: Config,
  policy: Policy,
  sink: LineSink,
  runtime = systemRuntime,
  createSecondLevel = connectSecondLevel,
): Promise<Service> {
  const { clock, random, loop } = runtime
  const stopping = new AbortController()
  const isDraining = () => stopping.signal.aborted
  const isReady = () => readiness.isReady() && !isDraining()
  const active = createActivePolicy(policy, clock)
  const certificates = await followCertificates(config)
  const own = { clock, replica: replicaName(), isReady, isDraining, certificates: certificates.ends }
  const subscribers = createSubscribers(subscriberSettingsOf(config), active, sink, {
    ...own,
    cache: () => cache.view.statistics(),
    circuit: () => exchanges.circuit.state(),
    policyLoaded: () => exchanges.policyLoaded(),
    secondLevel: () => secondLevel?.status(),
  })
  const { log, events, telemetry } = subscribers
  const otel = await connectOpenTelemetry(config, runtime, { log, replica: own.replica, metrics: telemetry.metrics })
  const reloader = await startPolicyReloader(config, active, { ...keysOf(config, otel.traced), ...events })
  const assertions = connectIdentity(config, otel.traced, events.upstreamCalled)
  const deciders = createDeciders(active, certificates.authorities, assertions, clock, events)
  const exchanges = connectEntra(config, otel.traced, assertions, active, events)
  const settings = { config, runtime: otel.traced, replica: own.replica, ...subscribers }
  const { cache, secondLevel } = await connectCache(createSecondLevel, settings, exchanges, deciders.limits)
  const tokenService = createTokenService(deciders, cache, events)
  const readiness = createReadiness(needsOf(assertions, reloader.issuers), notReadyYet(log), random)
  const signIn = connectSignIn(config, () => active.status().policy, { clock, egress: egressOf(config, false), log })
  const operations = { ...telemetry, ...operationsOf(config, cache, events), tokenService, events, signIn }
  const listening = { log, isDraining, flushLog: sink.flush, events, loop, clock, spans: otel.serverSpans }
  const servers = await orClose(() => buildListeners(config, listening, operations, certificates), secondLevel)
  await secondLevel?.start()

  return {
    ...servers,
    log,
    isReady,
    warmUp: () => readiness.reach(stopping.signal),
    drain: () => stopping.abort(),
    reload: () => reloader.reload(true),
    watchPolicy: () => reloader.watch(err => log.warn({ err }, policyNotWatched)),
    close: async () => {
      stopping.abort()
      await closeInTurn(reloader, servers, secondLevel, exchanges, otel, telemetry, { close: () => sink.flush() })
    },
  }
}

/** The parts that decide who a caller is, what it may get, and how often. */
function createDeciders(
  { admission }: ActivePolicy,
  authorities: FollowedAuthorities | undefined,
  { homeTenant }: AssertionSource,
  clock: Clock,
  { verification }: Events,
) {
  const certificates = createCertificateVerifier(() => authorities?.current(), clock)
  const signatures = createSignatureLimiter(clock)
  return {
    authenticate: createAuthenticate({ admission, certificates, signatures, clock, verification }),
    authorize: createAuthorize(homeTenant),
    limits: createRateLimits(clock),
  }
}

/** Where a cache is created. */
interface CacheSettings extends Pick<ReturnType<typeof createSubscribers>, 'events' | 'secondLevelEvents' | 'log'> {
  readonly replica: string
  readonly config: Config
  readonly runtime: Runtime
}

/** The cache over a source of exchanges, and the second level behind it, if there is one. */
async function connectCache(
  createSecondLevel: CreateSecondLevel,
  { config, runtime, replica, events, secondLevelEvents, log }: CacheSettings,
  { source, circuit, purged }: ReturnType<typeof connectEntra>,
  { chargeExchange: charge }: RateLimits,
) {
  const secondLevel = await createSecondLevel(config, runtime, {
    events: secondLevelEvents,
    log,
    replica,
    report: () => {
      const { entries, fetching, atRisk } = cache.view.statistics()
      return { entries, fetching, atRisk }
    },
  })
  const cache = createCache(source, {
    ...runtime,
    secondLevel,
    charge,
    purged,
    admits: circuit.admits,
    maxEntries: config.cacheMaxEntries,
    minRemainingSeconds: config.minRemainingSeconds,
    timeoutMs: config.upstreamTimeoutMs,
    concurrency: config.upstreamConcurrency,
    events,
  })
  return { cache, secondLevel }
}

/** What the operations endpoints need of the settings and the cache, and who may use them. */
const operationsOf = (
  { policyFile, redis, identity }: Config,
  { view, purgeEverywhere }: ManagedCache,
  { forbidden }: Events,
) => ({
  places: { policyFile, identity: identityAddress(identity), ...(redis && { redis: addressOf(redis) }) },
  cache: view,
  purge: purgeEverywhere,
  authorizeOperation: createAuthorizeOperation(forbidden),
})

/** The share of an exchange's time for the identity's token, so that a time-out shows which of the two requests hangs. */
export const identityShare = 0.8

/** No connection through a proxy takes longer than an exchange, or a fetch of keys, may take. */
const egressOf = ({ proxy, upstreamTimeoutMs: connectWithinMs }: Config, keepAlive: boolean) =>
  createEgress(proxy, { keepAlive, connectWithinMs })

/** How issuers' keys are fetched. */
const keysOf = (config: Config, { clock, spans }: Runtime) => ({
  timeoutMs: config.upstreamTimeoutMs,
  egress: egressOf(config, false),
  clock,
  spans,
})

function connectEntra(
  config: Config,
  runtime: Runtime,
  assertions: AssertionSource,
  { status }: ActivePolicy,
  events: Events,
) {
  const circuit = createCircuit({ clock: runtime.clock, changed: events.circuit })
  const { authority, upstreamTimeoutMs: timeoutMs } = config
  const egress = egressOf(config, true)
  const isKnown = (place: AgentPlace) => hasAgent(status().policy, place)
  const agentAssertions = createAgentAssertions({ ...runtime, timeoutMs, isKnown })
  const agents = { assertions: agentAssertions, tokenExchange: tokenExchangeOf(authority) }
  const exchanges = entra({ ...runtime, authority, egress, assertions, events, agents })
  const source = withRetries(exchanges, { ...runtime, circuit, timeoutMs })
  const { spans = noSpans } = runtime
  const traced: TokenSource = (grant, signal) => spans.exchange(() => source(grant, signal))
  const { purge: purged, sweep: policyLoaded, close } = agentAssertions
  return { circuit, source: traced, purged, policyLoaded, close }
}

function connectIdentity(
  { identity, upstreamTimeoutMs }: Config,
  runtime: Runtime,
  upstreamCalled: Events['upstreamCalled'],
): AssertionSource {
  const upstream = identityUpstream(identity)
  const fetched: Observer = (seconds, error) => upstreamCalled(upstream, seconds, error)
  return identity.source === 'managed-identity'
    ? createAssertionCache(managedIdentity(identity, runtime.clock, runtime.spans), {
        ...runtime,
        timeoutMs: upstreamTimeoutMs * identityShare,
        fetched,
      })
    : workloadIdentity(identity.tokenFile, identity.homeTenant, { clock: runtime.clock, fetched })
}

/** Values of `waiting_for` in the log line `not ready yet`. */
export const needNames = { identity: "the managed identity's token", issuers: "an issuer's keys" } as const

/** What readiness waits for: the identity's token, and the keys of at least one issuer. */
function needsOf(assertions: AssertionSource, issuers: () => readonly Issuer[]): readonly Need[] {
  const identity: Need = { name: needNames.identity, get: () => assertions.get(AbortSignal.timeout(60_000)) }
  return [identity, { name: needNames.issuers, get: () => readyKeys(issuers()) }]
}
