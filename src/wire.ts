import { Server as TlsServer } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { createAuthenticate, type Issuer } from './broker/authenticate.ts'
import { createCache } from './broker/cache.ts'
import { systemClock, type Clock } from './broker/clock.ts'
import { createTokenIssuer } from './broker/issue-token.ts'
import { keepAssertion } from './broker/kept-assertion.ts'
import { createAuthorize, type Policy } from './broker/policy.ts'
import { createReadiness, type Need } from './broker/readiness.ts'
import type { AssertionSource } from './broker/types.ts'
import type { Config } from './config.ts'
import { buildApp } from './http/app.ts'
import { entra } from './outbound/entra.ts'
import { connectIssuers } from './outbound/issuer-keys.ts'
import { managedIdentity } from './outbound/managed-identity.ts'
import { minTlsVersion, readTlsPair, watchTlsPair } from './outbound/tls-files.ts'
import { workloadIdentity } from './outbound/workload-identity.ts'
import { createAudit } from './telemetry/audit.ts'
import { createLogs, type Logs } from './telemetry/log.ts'
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
  const logs = createLogs(config.logLevel, sink, secretsOf(config))
  const { log } = logs
  const audit = createAudit(logs, sink, { mode: config.audit, now: clock.now, policyVersion: () => policy.version })
  const issuers = await connectIssuers(policy.issuers, { clock, timeoutMs: config.upstreamTimeoutMs })
  const tls = config.tls && { ...config.tls, ...(await readTlsPair(config.tls)) }

  const assertions = connectIdentity(config, around)
  const cache = createCache(entra({ authority: config.authority, assertions, clock }), {
    clock,
    random,
    maxEntries: config.cacheMaxEntries,
    minRemainingSeconds: config.minRemainingSeconds,
    timeoutMs: config.upstreamTimeoutMs,
    refreshFailed: audit.refreshFailed,
  })
  const authorize = createAuthorize(policy, assertions.homeTenant)
  const issuer = createTokenIssuer(createAuthenticate(issuers, clock), authorize, cache, audit)

  const failed = (need: string, err: unknown) => log.warn({ need, err }, 'not ready yet')
  const readiness = createReadiness(needsOf(assertions, issuers), failed, random)
  const stopping = new AbortController()
  const isDraining = () => stopping.signal.aborted
  const isReady = () => readiness.isReady() && !isDraining()
  const app = buildApp({ issuer, log, isReady, isDraining, tls })
  const unwatch =
    tls &&
    watchTlsPair(
      tls,
      tls,
      pair => renewTls(app, pair, log),
      err => tlsFailed(log, err),
    )

  return {
    app,
    log,
    isReady,
    warmUp: () => readiness.reach(stopping.signal),
    drain: () => stopping.abort(),
    close: async () => {
      stopping.abort()
      unwatch?.()
      // Whatever is answered at all is answered by then; what is left are clients that never finish their request.
      const giveUp = setTimeout(() => app.server.closeAllConnections(), config.upstreamTimeoutMs + graceMs)
      await app.close()
      clearTimeout(giveUp)
      audit.close()
      sink.flush()
    },
  }
}

/** Milliseconds beyond an exchange's time in which its answer is written. */
const graceMs = 1_000

/** The share of an exchange's time that the identity's token may take, so that it is clear which hop hangs. */
const identityShare = 0.8

function connectIdentity({ identity, upstreamTimeoutMs }: Config, around: Surroundings): AssertionSource {
  return identity.source === 'managed-identity'
    ? keepAssertion(managedIdentity(identity), { ...around, timeoutMs: upstreamTimeoutMs * identityShare })
    : workloadIdentity(identity.tokenFile, identity.homeTenant)
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

const secretsOf = ({ identity }: Config): readonly string[] =>
  identity.source === 'managed-identity' ? [identity.header] : []

function renewTls(app: FastifyInstance, pair: { cert: string; key: string }, log: Logs['log']): void {
  if (!(app.server instanceof TlsServer)) return
  app.server.setSecureContext({ ...pair, minVersion: minTlsVersion })
  log.info('the TLS certificate was renewed from its files')
}

function tlsFailed(log: Logs['log'], err: unknown): void {
  log.error({ err }, 'the new TLS files cannot be used; the certificate that was loaded before stays')
}
