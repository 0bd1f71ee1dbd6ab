import { systemClock, type Clock } from '../broker/lib/clock.ts'
import type { Config } from '../config/config.ts'
import type { Environment } from '../config/environment.ts'
import { createEgress, type Egress } from '../outbound/network/egress.ts'
import { Checks, type Finding, type Step } from './checks.ts'
import { reportOf, type Report } from './report.ts'
import { checkEnds } from './sections/ends.ts'
import { checkFederation } from './sections/federation.ts'
import { checkIdentity } from './sections/identity.ts'
import { checkIssuers } from './sections/issuers.ts'
import { checkNetwork } from './sections/network.ts'
import { checkRedis } from './sections/redis.ts'
import { checkSettings } from './sections/settings.ts'
import { checkTenants } from './sections/tenants.ts'
import { planTargets } from './targets.ts'

/** What is checked, and where the lines go. */
export interface DoctorOptions {
  /** That of `serve`. MSAL reads `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` from the environment of the process. */
  readonly environment: Environment
  /** The id or the name of the only tenant to check. Default: every tenant that the policy names, up to a limit. */
  readonly tenant?: string | undefined
  /** Called with each line as soon as it is known. */
  readonly found: (finding: Finding) => void
  readonly clock?: Clock
  /** Milliseconds for all checks; default two minutes. */
  readonly totalMs?: number
  /** Milliseconds for which it listens to other replicas; default three seconds. */
  readonly listenMs?: number
}

const defaultTotalMs = 120_000
const defaultListenMs = 3_000

/**
 * Finds out why a broker with these settings would not work: settings, the way to Entra, the identity, federation, consent,
 * issuers, Redis. A check that depends on one that failed is skipped, so that what is reported as failed has no other
 * reported cause. It changes nothing, keeps no token and reports none; it sends at most 20 requests for tokens. Ends within
 * `totalMs` and a few seconds.
 */
export async function examine(options: DoctorOptions): Promise<Report> {
  const { environment, clock = systemClock, totalMs = defaultTotalMs, found } = options
  const startedAt = clock.now()
  const began = clock.monotonic()
  const checks = new Checks({ monotonic: clock.monotonic, totalMs, found })
  const { config, policy, tenant, platformErrors } = await checkSettings(checks, environment, options.tenant)
  await checkEnds(checks, config, policy, clock.now)
  const network = await checkNetwork(checks, config, egressOf, clock)
  const identity = await checkIdentity(checks, config, platformErrors, network.clock, { environment, clock })
  const home = identity.ok ? identity.value.homeTenant : undefined
  const plan = both(policy, tenant, (known, id) => planTargets(known, home, id))
  const { reachable } = network
  const tenants = await checkTenants(checks, { config, plan, reachable }, egressOf, clock)
  const needs = { config, reachable, clock: network.clock, identity, plan, tenants }
  const exchanges = await checkFederation(checks, needs, egressOf, clock)
  await checkIssuers(checks, config, policy, egressOf, clock)
  await checkRedis(checks, config, { clock, listenMs: options.listenMs ?? defaultListenMs })
  return reportOf(checks.findings, { startedAt, ms: clock.monotonic() - began, exchanges })
}

/** The connections of the broker, without any that stay open. */
const egressOf = ({ proxy, upstreamTimeoutMs: connectWithinMs }: Config): Egress =>
  createEgress(proxy, { keepAlive: false, connectWithinMs })

/** A value of two steps; if one failed, that one. */
function both<A, B, T>(first: Step<A>, second: Step<B>, make: (a: A, b: B) => T): Step<T> {
  if (!first.ok) return first
  if (!second.ok) return second
  return { ok: true, value: make(first.value, second.value) }
}
