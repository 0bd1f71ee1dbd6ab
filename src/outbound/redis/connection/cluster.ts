import type { openClient, RedisAddress, RedisClient } from './client.ts'
import type { CredentialsSource } from './credentials.ts'
import { within } from './link.ts'
import { sequenceName } from '../names.ts'

// Everything in Redis has one hash tag, so that one node of a cluster has all of it. A connection to that node is enough.

/** Milliseconds for the first commands. */
const probeMs = 2_000
/** Redirections that are followed. More than two mean that the nodes disagree, which ends after a failover. */
const maxRedirections = 5
/** Nodes of a cluster that are remembered. */
const maxNodes = 100
/** Errors of a server that cannot serve any command now. */
const unusable = /^(LOADING|MASTERDOWN|CLUSTERDOWN|NOAUTH) /

/** Loaded with the first connection: most commands and brokers need no Redis. */
const open: typeof openClient = async (...args) => (await import('./client.ts')).openClient(...args)

/**
 * Opens connections to the server of the settings or, if that is a node of a cluster, to the node that has the names of
 * the broker. After failures it tries the other nodes in turn, since the one of the settings may be the one that failed.
 *
 * @returns a function from the number of failures in a row to a connection. It rejects with an `Error`
 */
export function createOpener(
  seed: RedisAddress,
  credentials: CredentialsSource,
): (failures: number, signal: AbortSignal) => Promise<RedisClient> {
  let nodes: readonly RedisAddress[] = []
  return async (failures, signal) => {
    const addresses = [seed, ...nodes]
    let address = addresses[failures % addresses.length] ?? seed
    for (let redirections = 0; redirections <= maxRedirections; redirections++) {
      const client = await open(address, await credentials.get(), signal)
      try {
        const commands = [
          ['GET', sequenceName],
          ['CLUSTER', 'SLOTS'],
        ]
        const [reply, slots] = await within(client.send(commands, false), probeMs)
        nodes = nodesOf(slots, address)
        const moved = movedTo(reply, address)
        if (moved === undefined) {
          if (reply instanceof Error && unusable.test(reply.message)) throw reply
          return client
        }
        client.destroy(new Error('another node has the names of the broker'))
        address = moved
      } catch (thrown) {
        client.destroy(new Error('not usable'))
        throw thrown
      }
    }
    throw new Error('the nodes of the cluster redirect to each other')
  }
}

/** The address in `MOVED 3999 host:port`. Without a host it is that of the node that replied. */
function movedTo(reply: unknown, from: RedisAddress): RedisAddress | undefined {
  if (!(reply instanceof Error)) return undefined
  const [, host, port] = /^MOVED \d+ (.*):(\d{1,5})$/.exec(reply.message) ?? []
  return port === undefined ? undefined : nodeAt(host ?? '', Number(port), from)
}

/** The nodes in the reply to CLUSTER SLOTS. None if the server is not a node of a cluster, or the user may not know. */
function nodesOf(slots: unknown, from: RedisAddress): readonly RedisAddress[] {
  const found = new Map<string, RedisAddress>()
  for (const range of listOf(slots).slice(0, maxNodes)) {
    for (const [host, port] of listOf(range).slice(2, maxNodes).map(listOf)) {
      if (typeof port !== 'number' || found.size >= maxNodes) continue
      const node = nodeAt(Buffer.isBuffer(host) ? host.toString() : '', port, from)
      found.set(`${node.host} ${port}`, node)
    }
  }
  return [...found.values()]
}

const nodeAt = (host: string, port: number, from: RedisAddress): RedisAddress => ({
  ...from,
  host: host === '' ? from.host : host,
  port,
  seedHost: from.seedHost ?? from.host,
})

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Whether a reply says that another node of the cluster has the names. */
export const isMoved = (reply: unknown): boolean => reply instanceof Error && reply.message.startsWith('MOVED ')
