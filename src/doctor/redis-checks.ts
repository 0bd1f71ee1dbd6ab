import type { Clock } from '../broker/lib/clock.ts'
import type { RedisSettings } from '../config/redis.ts'
import { messageOf } from '../errors.ts'
import { decodeMessage } from '../outbound/redis/channel.ts'
import type { RedisClient, RedisCommand } from '../outbound/redis/connection/client.ts'
import { eventsChannel } from '../outbound/redis/names.ts'
import { openHeartbeat } from '../outbound/redis/purges/purge-messages.ts'
import type { KeyRing } from '../outbound/redis/sealing/key-ring.ts'
import { failed, notApplicable, ok, warning, type Result } from './checks.ts'

/** What an ACL must allow a user, as docs/fleet.md has it. */
export const neededRights =
  '~{tb:1}:* &{tb:1}:events +get +getrange +set +del +incr +xadd +xrevrange +publish +subscribe +unsubscribe +multi +exec ' +
  '+ping +hello +auth +cluster|slots'

/** A name that no replica uses. */
const probeName = '{tb:1}:doctor'

/** What replicas send, in forms that would change nothing if they were carried out, except INCR and PUBLISH. */
const probes: readonly RedisCommand[] = [
  ['GET', probeName],
  ['GETRANGE', probeName, '0', '1'],
  ['SET', probeName, '', 'XX', 'PX', '1'],
  ['DEL', probeName],
  ['INCR', probeName],
  ['XADD', probeName, 'NOMKSTREAM', '*', 'p', ''],
  ['XREVRANGE', probeName, '+', '-', 'COUNT', '1'],
  ['PUBLISH', eventsChannel, ''],
]

/** Sends commands one by one, with the error of each that is refused. */
async function sendEach(client: RedisClient, commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
  return client.send(commands, false)
}

/**
 * Finds out whether the user may send each command, without carrying any out: within a transaction, Redis checks rights, role and
 * memory when a command is queued, and DISCARD ends it.
 */
export async function tryCommands(client: RedisClient, { auth }: RedisSettings): Promise<Result<true>> {
  const [begun] = await sendEach(client, [['MULTI']])
  // Without a transaction the commands would be carried out.
  const replies = begun instanceof Error ? [begun] : await sendEach(client, [...probes, ['DISCARD']])
  const errors = replies.slice(0, probes.length).filter(reply => reply instanceof Error)
  const [first] = errors
  if (first === undefined) return ok(true, 'the user may send every command that replicas need')
  const refusals = [...new Set(errors.map(messageOf))]
  const text = refusals.join('; ')
  if (text.startsWith('READONLY')) {
    return failed({
      text,
      advice: 'The server is a replica: replicas of the broker must write to its primary.',
      fix: ['BROKER_REDIS_URL=rediss://PRIMARY:PORT'],
    })
  }
  if (text.startsWith('OOM')) {
    return failed({
      text,
      advice: 'The memory of Redis is full, and its policy removes nothing. Ten thousand tokens take about 20 MB.',
      fix: ['redis-cli CONFIG SET maxmemory-policy volatile-ttl   # or more memory'],
    })
  }
  const user = auth.kind === 'password' ? (auth.username ?? 'default') : 'USER'
  return failed({ text, fix: [`redis-cli ACL SETUSER ${user} '${neededRights.replaceAll(' ', "' '")}'`] })
}

/** Looks at the role and the mode of the server. */
export async function checkServer(client: RedisClient): Promise<Result<true>> {
  const [reply] = await sendEach(client, [['HELLO']])
  if (reply instanceof Error) return notApplicable(`the server does not say what it is: ${reply.message}`, true)
  const facts = factsOf(reply)
  const text = ['server', 'version', 'mode', 'role'].map(name => facts.get(name)).join(' ')
  const role = facts.get('role')
  if (role !== undefined && role !== 'master') {
    return failed({
      text: `${text}: it is a replica, and takes no writes`,
      fix: ['BROKER_REDIS_URL=rediss://PRIMARY:PORT   # an address that follows the primary'],
    })
  }
  if (facts.get('mode') === 'sentinel') {
    return failed({ text: `${text}: Sentinel is not supported`, fix: ['BROKER_REDIS_URL=rediss://PRIMARY:PORT'] })
  }
  return ok(true, text)
}

/** The reply to HELLO: a map, whose texts are Buffers. */
function factsOf(reply: unknown): ReadonlyMap<string, string> {
  const entries: readonly (readonly unknown[])[] =
    reply instanceof Map
      ? [...reply.entries()]
      : Array.isArray(reply)
        ? reply.map((value: unknown, at) => [value, reply[at + 1]] as const).filter((_, at) => at % 2 === 0)
        : Object.entries(reply ?? {})
  return new Map(entries.map(([name, value]) => [String(name), String(value)]))
}

const wantedPolicy = 'volatile-ttl'

/** Reads what Redis removes when its memory is full. */
export async function readEviction(client: RedisClient): Promise<Result<true>> {
  const [reply] = await sendEach(client, [['INFO', 'memory']])
  const policy = /^maxmemory_policy:(\S+)/m.exec(reply instanceof Error ? '' : String(reply))?.[1]
  if (policy === undefined) return notApplicable('the user may not read maxmemory-policy (INFO): compare it by hand')
  if (policy === wantedPolicy) return ok(true, `maxmemory-policy is ${policy}`)
  return warning(true, {
    text: `maxmemory-policy is ${policy}`,
    advice: 'If the memory is full, tokens should be removed that end first.',
    fix: [`redis-cli CONFIG SET maxmemory-policy ${wantedPolicy}`],
  })
}

const pings = 5
/** Milliseconds. A broker waits 75 ms for Redis if it has a valid token. */
const slowMs = 20

/** Measures requests one after the other. */
export async function measureLatency(client: RedisClient, { monotonic }: Clock): Promise<Result<true>> {
  const times: number[] = []
  for (let n = 0; n < pings; n++) {
    const began = monotonic()
    await sendEach(client, [['PING']])
    times.push(monotonic() - began)
  }
  const median = times.toSorted((a, b) => a - b)[Math.floor(pings / 2)] ?? 0
  const text = `the median of ${pings} requests is ${median.toFixed(1)} ms`
  if (median <= slowMs) return ok(true, text)
  return warning(true, {
    text,
    advice: 'A broker waits at most 75 ms for Redis while it has a valid token.',
    fix: ['place Redis in the region and the virtual network of the broker'],
  })
}

/** Listens to the heartbeats of replicas, which are one a second, and opens them with the key ring. */
export async function listenToReplicas(client: RedisClient, ring: KeyRing, ms: number): Promise<Result<true>> {
  const heard = new Set<string>()
  let unreadable = 0
  try {
    await client.subscribe(eventsChannel, bytes => {
      const message = decodeMessage(bytes)
      if (message?.type !== 'heartbeat') return
      const report = openHeartbeat(ring, message.sealed)
      if (report) heard.add(report.replica)
      else unreadable++
    })
  } catch (thrown) {
    return failed({
      text: messageOf(thrown),
      fix: [`redis-cli ACL SETUSER USER '&${eventsChannel}' +subscribe +unsubscribe`],
    })
  }
  await new Promise<void>(resolve => setTimeout(resolve, ms))
  if (unreadable > 0) {
    return failed({
      text: `${unreadable} messages of replicas were sealed under a key that is not in this key ring`,
      advice: 'Replicas with different key rings share nothing, and purge only their own tokens.',
      fix: ['give every replica the same file of BROKER_CACHE_KEY_FILE; docs/fleet.md says how to change a key'],
    })
  }
  if (heard.size === 0) return notApplicable('no replica was heard: none runs, or none is connected')
  return ok(true, `the key ring opens what ${heard.size} replicas write`)
}
