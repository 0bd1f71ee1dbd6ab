import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { DropArgument, Socket } from 'node:net'
import type { DropReason } from '../../broker/events.ts'
import { addressGroupOf } from '../../broker/authentication/signature-limiter.ts'

/** Concurrent connections of a listener, those during their handshake included. */
export const maxConnections = 10_000
/** The part of the connections above which idle ones are closed. */
const nearlyFull = 0.9
/** Milliseconds between two searches for idle connections. */
const searchMs = 1_000

/** An open connection whose requests can be read: with TLS, one whose handshake is over. */
interface Connection {
  readonly socket: Socket
  readonly peer: string
  /** Bytes in both directions at the last search. */
  bytes: number
  /** Milliseconds, monotonic: the last search that found new bytes, or the connection's start. */
  since: number
}

/**
 * Limits a server's connections. An address (of IPv6, a network of 64 bits) may open one while it has fewer than are left:
 * alone it gets half of them, a second one a quarter. At its share, its longest idle connection is closed for the new one; if
 * none is idle, the new one is. When the listener is nearly full, the longest idle connection of all is closed for each new
 * one.
 *
 * @param dropped called for each connection that is closed, with its peer's address
 * @param most connections at once
 */
export function limitConnections(
  server: Server,
  dropped: (reason: DropReason, address: string) => void,
  most = maxConnections,
): void {
  const counts = new Map<string, number>()
  const idle = trackIdle(server)
  let open = 0
  // Node closes what exceeds this.
  server.maxConnections = most
  server.on('drop', (data?: DropArgument) => dropped('full', data?.remoteAddress ?? ''))
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const peer = peerOf(address)
    const own = (counts.get(peer) ?? 0) + 1
    counts.set(peer, own)
    open++
    socket.once('close', () => {
      open--
      const left = (counts.get(peer) ?? 1) - 1
      if (left === 0) counts.delete(peer)
      else counts.set(peer, left)
    })
    if (open > most / 2) idle.search()
    const hasMore = own > most - open
    if (hasMore || open > most * nearlyFull) {
      const closed = idle.close(hasMore ? peer : undefined)
      if (closed !== undefined) return dropped('idle', closed)
    }
    if (!hasMore) return
    socket.destroy()
    dropped(open < most ? 'share' : 'full', address)
  })
  // After the listener above: a new connection must not make room for itself.
  idle.track()
}

/** Finds idle connections when they are needed, so that a request costs nothing. */
function trackIdle(server: Server) {
  const connections = new Set<Connection>()
  let searched = Number.NEGATIVE_INFINITY
  /** The longest idle connection is the last. */
  let found: Connection[] = []
  let foundOf = new Map<string, Connection[]>()
  const track = (): void =>
    void server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
      const peer = peerOf(socket.remoteAddress ?? '')
      const connection = { socket, peer, bytes: bytesOf(socket), since: performance.now() }
      connections.add(connection)
      socket.once('close', () => connections.delete(connection))
    })
  const isIdle = ({ socket, bytes }: Connection): boolean =>
    bytesOf(socket) === bytes && isBetweenRequests(server, socket)
  return {
    /** Starts to track connections. */
    track,
    /** Looks at all connections, once a second at most. */
    search: (): void => {
      const now = performance.now()
      if (now - searched < searchMs) return
      searched = now
      for (const connection of connections) {
        const bytes = bytesOf(connection.socket)
        if (bytes !== connection.bytes) Object.assign(connection, { bytes, since: now })
      }
      found = [...connections]
        .filter(isIdle)
        .toSorted((a, b) => a.since - b.since)
        .toReversed()
      foundOf = Map.groupBy(found, ({ peer }) => peer)
    },
    /** Closes the longest idle connection, of a peer or of all. @returns its address; `undefined` if none is idle */
    close: (peer: string | undefined): string | undefined => {
      const candidates = (peer === undefined ? found : foundOf.get(peer)) ?? []
      for (let next = candidates.pop(); next !== undefined; next = candidates.pop()) {
        if (!isIdle(next)) continue
        const { remoteAddress = '' } = next.socket
        next.socket.destroy()
        return remoteAddress
      }
      return undefined
    },
  }
}

/** An address that shares its connections; an IPv4 address may be written as one of IPv6. */
const peerOf = (address: string): string => addressGroupOf(address.replace(/^::ffff:(?=\d+\.)/i, ''))

/**
 * Whether no request of a connection is in progress and none has begun. Node gives a connection this time once its response
 * is written, and a shorter one when the next request begins.
 */
export const isBetweenRequests = (server: Server, socket: Socket): boolean =>
  !socket.destroyed && (socket.bytesRead === 0 || (socket.timeout ?? 0) >= server.keepAliveTimeout)

const bytesOf = ({ bytesRead, bytesWritten }: Socket): number => bytesRead + bytesWritten
