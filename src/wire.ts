import type { FastifyInstance } from 'fastify'
import type { Told } from './broker/announce.ts'
import { createAuthenticate, type Issuer } from './broker/authenticate.ts'
import { createCache } from './broker/cache.ts'
import { systemClock, type Clock } from './broker/clock.ts'
import { createTokenIssuer } from './broker/issue-token.ts'
import { keepAssertion } from './broker/kept-assertion.ts'
import { createPermit } from './broker/permit.ts'
import { createAuthorize, type Policy } from './broker/policy.ts'
import { createReadiness, type Need } from './broker/readiness.ts'
import type { AssertionSource, Events } from './broker/types.ts'
import type { Config } from './config.ts'
import { createListeners, identityUpstream, listenersOf } from './listeners.ts'
import { entra } from './outbound/entra.ts'
import { connectIssuers } from './outbound/issuer-keys.ts'
import { managedIdentity } from './outbound/managed-identity.ts'
import { workloadIdentity } from './outbound/workload-identity.ts'
import { buildServers } from './servers.ts'
import type { Logs } from './telemetry/log.ts'
import type { LineSink } from './telemetry/output.ts'

/** What a test may replace: time and chance. */
export interface Surroundings {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** A broker that is put together but does not listen yet. */
export interface Service {
  readonly app: FastifyInstance
  /** The operations endpoints, where they have a listener of their own. */
  readonly management: FastifyInstance | undefined
  readonly log: Logs['log']
  /** Fetches what readiness waits for. Settles once ready, or on {@link close}. */
  readonly warmUp: () => Promise<void>
  /** Whether it should get requests: had what it needs, and not draining. */
  readonly isReady: () => boolean
  /** From now on unready, with connections closed after their answer; requests are still served. */
  readonly drain: () => void
  /** Answers what is under way, then stops. */
  readonly close: () => Promise<void>
}

const chance: Surroundings = { clock: systemClock, random: Math.random }

/**
 * The only place where real things are made and plugged together.
 * @throws FaultsError when a file that the configuration or the policy names cannot be used
 */
export async function wire(config: Config, policy: Policy, sink: LineSink, around = chance): Promise<Service> {
  const { clock, random } = around
  const stopping = new AbortController()
  const isDraining = () => stopping.signal.aborted
  const isReady = () => readiness.isReady() && !isDraining()
  const { log, events, telemetry } = createListeners(listenersOf(config, policy), policy, sink, {
    clock,
    isReady,
    isDraining,
    cache: () => cache.view.statistics(),
  })
  const issuers = await connectIssuers(policy.issuers, {
    clock,
    timeoutMs: config.upstreamTimeoutMs,
    asked: events.asked,
  })
  const assertions = connectIdentity(config, around, events.asked)
  const cache = createCache(entra({ authority: config.authority, assertions, clock, events }), {
    clock,
    random,
    maxEntries: config.cacheMaxEntries,
    minRemainingSeconds: config.minRemainingSeconds,
    timeoutMs: config.upstreamTimeoutMs,
    refreshed: events.refreshed,
  })
  const authenticate = createAuthenticate(issuers, clock, events.verification)
  const issuer = createTokenIssuer(authenticate, createAuthorize(policy, assertions.homeTenant), cache, events)
  const failed = (need: string, err: unknown) => log.warn({ need, err }, 'not ready yet')
  const readiness = createReadiness(needsOf(assertions, issuers), failed, random)
  const operations = {
    ...telemetry,
    issuer,
    permit: createPermit(policy, events),
    cache: cache.view,
  }
  const servers = await buildServers(config, { log, isDraining, answered: events.answered }, issuer, operations)

  return {
    ...servers,
    log,
    isReady,
    warmUp: () => readiness.reach(stopping.signal),
    drain: () => stopping.abort(),
    close: async () => {
      stopping.abort()
      await servers.close()
      telemetry.close()
      sink.flush()
    },
  }
}

/** The share of an exchange's time that the identity's token may take, so that it is clear which hop hangs. */
const identityShare = 0.8

function connectIdentity(
  { identity, upstreamTimeoutMs }: Config,
  around: Surroundings,
  asked: Events['asked'],
): AssertionSource {
  const upstream = identityUpstream(identity)
  const fetched: Told = (seconds, error) => asked(upstream, seconds, error)
  return identity.source === 'managed-identity'
    ? keepAssertion(managedIdentity(identity), { ...around, timeoutMs: upstreamTimeoutMs * identityShare, fetched })
    : workloadIdentity(identity.tokenFile, identity.homeTenant, { clock: around.clock, fetched })
}

/** The identity's token, and the keys of at least one issuer. */
function needsOf(assertions: AssertionSource, issuers: readonly Issuer[]): readonly Need[] {
  const identity: Need = {
    name: "the managed identity's token",
    get: () => assertions.get(AbortSignal.timeout(60_000)),
  }
  if (issuers.length === 0) return [identity]
  return [identity, { name: "an issuer's keys", get: () => Promise.any(issuers.map(({ keys }) => keys.ready())) }]
}
