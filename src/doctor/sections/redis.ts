import type { Clock } from '../../broker/lib/clock.ts'
import type { Config } from '../../config/config.ts'
import type { RedisSettings } from '../../config/redis.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { managedIdentity } from '../../outbound/entra/managed-identity.ts'
import { readLimitedFile } from '../../outbound/files/files.ts'
import type { RedisClient } from '../../outbound/redis/connection/client.ts'
import { createOpener } from '../../outbound/redis/connection/cluster.ts'
import { noCredentials, passwordFile, type CredentialsSource } from '../../outbound/redis/connection/credentials.ts'
import { entraCredentials, redisResource } from '../../outbound/redis/connection/entra-credentials.ts'
import { textOf } from '../../outbound/redis/connection/link.ts'
import { followKeyRing, type KeyRing } from '../../outbound/redis/sealing/key-ring.ts'
import { failed, notApplicable, ok, warning, type Checks, type Result, type Step } from '../checks.ts'
import { openSocket, reachPort, reachTls, resolveName, type Server } from '../hops/reach.ts'
import { checkServer, listenToReplicas, measureLatency, readEviction, tryCommands } from '../redis-checks.ts'

const maxPemBytes = 1024 * 1024

/** Checks the Redis of the configuration, if there is one: key ring, connection, rights, settings, other replicas. */
export async function checkRedis(
  checks: Checks,
  config: Step<Config>,
  { clock, listenMs }: { readonly clock: Clock; readonly listenMs: number },
): Promise<void> {
  const ring = await checks.run('redis.key-ring', { config }, ({ config: { redis } }) =>
    redis === undefined
      ? notApplicable<KeyRing>('Redis is not configured: each replica has a cache of its own')
      : readRing(redis.keyFile),
  )
  if (!config.ok || config.value.redis === undefined) return
  const { redis } = config.value
  const { host, port, isEncrypted, caFile } = redis
  const server: Server = { host, port, setting: 'BROKER_REDIS_URL', caSetting: 'BROKER_REDIS_CA_FILE' }
  const dns = await checks.run('redis.dns', {}, () => resolveName(server))
  const tcp = await checks.run('redis.tcp', { dns }, (_, signal) => reachPort(server, signal))
  const tls = await checks.run('redis.tls', { tcp }, async (_, signal) => {
    if (!isEncrypted) return notApplicable('the connection is not encrypted (redis://)', true)
    const ca = caFile === undefined ? {} : await readCa(caFile)
    if (ca instanceof Error)
      return failed({ text: messageOf(ca), fix: [`mount the file of BROKER_REDIS_CA_FILE at ${caFile}`] })
    return reachTls({ ...server, ...ca }, () => openSocket(host, port, signal), signal)
  })
  await withClient(config.value, redis, clock, async open => {
    const client = await checks.run('redis.auth', { tls }, (_, signal) => authenticate(redis, open, signal))
    const usable = await checks.run('redis.server', { client }, values => checkServer(values.client))
    const needs = { client, usable }
    await checks.run('redis.commands', needs, values => tryCommands(values.client, redis))
    await checks.run('redis.eviction', { client }, values => readEviction(values.client))
    await checks.run('redis.latency', { client }, values => measureLatency(values.client, clock))
    await checks.run(
      'redis.replicas',
      { client, ring },
      values => listenToReplicas(values.client, values.ring, listenMs),
      listenMs + 5_000,
    )
  })
}

async function readCa(caFile: string): Promise<{ readonly ca: string } | Error> {
  try {
    return { ca: await readLimitedFile(caFile, maxPemBytes) }
  } catch (thrown) {
    return new Error(messageOf(thrown))
  }
}

async function readRing(path: string): Promise<Result<KeyRing>> {
  try {
    const followed = await followKeyRing(path)
    followed.close()
    const ring = followed.current()
    const kids = ring.keys.map(({ kid }) => kid).join(', ')
    if (followed.warning !== undefined) return warning(ring, { text: followed.warning, fix: [`chmod 600 ${path}`] })
    return ok(ring, `the key ring has ${ring.keys.length} keys: ${kids}`)
  } catch (thrown) {
    if (!(thrown instanceof InvalidConfigurationError)) throw thrown
    const text = thrown.errors.map(({ where, what }) => `${where}: ${what}`).join('; ')
    return failed({
      text,
      advice: 'All replicas need the same file. token-broker key cache makes a line for the first of them.',
      fix: [`mount the key ring at ${path}, or correct BROKER_CACHE_KEY_FILE`],
    })
  }
}

type Open = (signal: AbortSignal) => Promise<RedisClient>

/** Closes the connection at the end, and what its credentials do in the background. */
async function withClient(
  config: Config,
  redis: RedisSettings,
  clock: Clock,
  work: (open: Open) => Promise<void>,
): Promise<void> {
  const credentials = credentialsOf(config, redis, clock)
  const opener = createOpener(redis, credentials)
  let client: RedisClient | undefined
  try {
    await work(async signal => (client = await opener(0, signal)))
  } finally {
    client?.destroy(new Error('closed'))
    credentials.close?.()
  }
}

function credentialsOf({ identity }: Config, { auth }: RedisSettings, clock: Clock): CredentialsSource {
  if (auth.kind === 'password') return passwordFile(auth.passwordFile, auth.username)
  if (auth.kind !== 'entra' || identity.source !== 'managed-identity') return noCredentials
  return entraCredentials({ get: managedIdentity({ ...identity, audience: redisResource }, clock) })
}

async function authenticate({ auth }: RedisSettings, open: Open, signal: AbortSignal): Promise<Result<RedisClient>> {
  try {
    const client = await open(signal)
    return ok(client, auth.kind === 'none' ? 'connected, without credentials' : `connected, by ${auth.kind}`)
  } catch (thrown) {
    const text = `Redis refuses the connection: ${textOf(thrown)}`
    const advice = {
      none: 'BROKER_REDIS_AUTH is none, so no credentials are sent.',
      password: 'Compare BROKER_REDIS_USERNAME, and the file of BROKER_REDIS_PASSWORD_FILE, with the user in Redis.',
      entra: 'The identity needs an access policy assignment in Azure Managed Redis; groups are not supported.',
    }[auth.kind]
    const fix = {
      none: 'BROKER_REDIS_AUTH=password   # or entra, for Azure Managed Redis',
      password: 'redis-cli --tls -h HOST -p PORT --user USER --askpass PING',
      entra:
        'assign the access policy "default" of the database in Azure Managed Redis to the principal id of the identity',
    }[auth.kind]
    return failed({ text, advice, fix: [fix] })
  }
}
