import { setTimeout as sleep } from 'node:timers/promises'
import type { SecondLevelEvents } from '../broker/events.ts'
import type { Runtime } from '../broker/lib/clock.ts'
import { createAssertionCache } from '../broker/tokens/assertion-cache.ts'
import type { ReplicaReport, SecondLevel } from '../broker/tokens/second-level.ts'
import type { Config } from '../config/config.ts'
import { managedIdentity } from '../outbound/entra/managed-identity.ts'
import { connectRedis } from '../outbound/redis/connection/connection.ts'
import { entraCredentials, redisResource } from '../outbound/redis/connection/entra-credentials.ts'
import { noCredentials, passwordFile, type CredentialsSource } from '../outbound/redis/connection/credentials.ts'
import { followKeyRing } from '../outbound/redis/sealing/key-ring.ts'
import { createRedisSecondLevel } from '../outbound/redis/second-level.ts'
import type { Logs } from '../telemetry/log.ts'

/** What a second level needs of the broker's other parts. */
export interface SecondLevelParts {
  readonly events: SecondLevelEvents
  readonly log: Logs['log']
  /** The name of this replica. */
  readonly replica: string
  /** What this replica says about its memory. */
  readonly report: () => Omit<ReplicaReport, 'replica'>
}

/** Creates the second level of a configuration; `undefined` if it has none. */
export type CreateSecondLevel = (
  config: Config,
  runtime: Runtime,
  parts: SecondLevelParts,
) => Promise<SecondLevel | undefined>

/**
 * Connects the Redis of the configuration, in the background.
 * @throws InvalidConfigurationError if the key ring cannot be used
 */
export const connectSecondLevel: CreateSecondLevel = async (config, runtime, { events, log, replica, report }) => {
  const { redis, minRemainingSeconds, upstreamTimeoutMs: timeoutMs } = config
  if (!redis) return undefined
  const ring = await followKeyRing(redis.keyFile)
  if (ring.warning !== undefined) log.warn(ring.warning)
  ring.watch(
    () => log.info('the key ring has changed'),
    err => log.error({ err }, 'the changed key ring cannot be used; the previous one stays in use'),
  )
  const credentials = credentialsOf(config, runtime)
  const level = createRedisSecondLevel({
    connection: connectRedis(redis, credentials, log),
    ring: ring.current,
    replica,
    report,
    clock: runtime.clock,
    spans: runtime.spans,
    wait: runtime.wait ?? ((ms, signal) => sleep(ms, undefined, { signal })),
    events,
    minRemainingSeconds,
    timeoutMs,
  })
  return {
    ...level,
    close: async () => {
      ring.close()
      await level.close()
    },
  }
}

function credentialsOf({ redis, identity, upstreamTimeoutMs: timeoutMs }: Config, runtime: Runtime): CredentialsSource {
  if (redis?.auth.kind === 'password') return passwordFile(redis.auth.passwordFile, redis.auth.username)
  if (redis?.auth.kind !== 'entra' || identity.source !== 'managed-identity') return noCredentials
  // The same identity as for Entra, with a token for another resource.
  const source = managedIdentity({ ...identity, audience: redisResource }, runtime.clock, runtime.spans)
  return entraCredentials(createAssertionCache(source, { ...runtime, timeoutMs, fetched: () => undefined }))
}
