import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import {
  type ClientAuthorities,
  presentedChain,
  type PresentedCertificate,
} from '../../../broker/authentication/client-certificates.ts'
import { isBetweenRequests } from '../connections.ts'
import { createLru } from '../../../broker/lib/lru.ts'

/** The TLS connections of a server. */
export interface TlsConnections {
  /** The client certificate of a connection, and the result of its verification by TLS. */
  readonly presentedOn: (socket: Socket) => PresentedCertificate | undefined
  /**
   * Whether a client should make a new connection: the authorities have changed since this one was made, or a certificate
   * that was read from it ends soon.
   */
  readonly isStale: (socket: Socket) => boolean
  /** Stops closing connections. */
  readonly close: () => void
}

interface Connection {
  /** The authorities at the start of the handshake. */
  readonly under: ClientAuthorities
  /** Read on first use; `null` if there is none. */
  presented: PresentedCertificate | null | undefined
  /** When the connection should be closed, in milliseconds since 1970: shortly before its certificate ends. */
  closesAt: number
}

/** The most connections whose handshake is tracked at once. */
const maxConnecting = 10_000
/** For connections without authorities: no certificate is verified under these. */
const noAuthorities: ClientAuthorities = { certificates: [] }

/** The part of its life before its end in which a certificate's connections are closed, and the most milliseconds of it. */
const lastPart = 0.1
const longestLastPartMs = 60_000
/** Milliseconds between two searches for connections whose certificate ends. */
const searchMs = 1_000

/** What {@link trackTlsConnections} needs. */
export interface TlsConnectionOptions {
  readonly authorities: () => ClientAuthorities | undefined
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Tracks for each connection the authorities at the start of its handshake. TLS verified its certificate under those, even
 * if the authorities have changed by the end of the handshake.
 *
 * A connection is no longer of use once its client certificate has ended, while its client may have a new one. So an idle
 * connection is closed in the last tenth of the certificate's life, at most a minute before its end.
 */
export function trackTlsConnections(server: Server, { authorities, now }: TlsConnectionOptions): TlsConnections {
  const connecting = createLru<string, ClientAuthorities>(maxConnecting)
  const connections = new WeakMap<Socket, Connection>()
  const ending = trackEnding(server, now, authorities() !== undefined)
  if (server instanceof TlsServer) {
    // The socket before TLS and the one after are two objects; their peer is the same.
    server.on('connection', (raw: Socket) => connecting.set(peerOf(raw), authorities() ?? noAuthorities))
    server.on('secureConnection', (socket: TLSSocket) => {
      const under = connecting.get(peerOf(socket)) ?? noAuthorities
      connecting.delete(peerOf(socket))
      connections.set(socket, { under, presented: undefined, closesAt: Number.POSITIVE_INFINITY })
    })
  }
  return {
    presentedOn: socket => {
      const connection = connections.get(socket)
      if (connection === undefined || !(socket instanceof TLSSocket)) return undefined
      if (connection.presented === undefined) {
        connection.presented = read(socket, connection.under)
        if (connection.presented) {
          connection.closesAt = closingTimeOf(connection.presented)
          ending.add(socket, connection)
        }
      }
      return connection.presented ?? undefined
    },
    isStale: socket => {
      const connection = connections.get(socket)
      return connection !== undefined && (connection.under !== authorities() || now() >= connection.closesAt)
    },
    close: ending.close,
  }
}

/**
 * Closes idle connections when their time has come. Those in use are closed after their response.
 * @param isNeeded whether certificates are accepted
 */
function trackEnding(server: Server, now: () => number, isNeeded: boolean) {
  const tracked = new Map<Socket, Connection>()
  const search = (): void => {
    const time = now()
    for (const [socket, { closesAt }] of tracked) {
      if (time >= closesAt && isBetweenRequests(server, socket)) socket.destroySoon()
    }
  }
  const timer = isNeeded ? setInterval(search, searchMs).unref() : undefined
  return {
    add: (socket: Socket, connection: Connection): void => {
      tracked.set(socket, connection)
      socket.once('close', () => tracked.delete(socket))
    },
    close: () => clearInterval(timer),
  }
}

/** Shortly before the first certificate of the chain ends. A renewed one exists by then, unless it is renewed too late. */
function closingTimeOf({ certificate }: PresentedCertificate): number {
  const end = Math.min(...presentedChain(certificate).map(({ validToDate }) => validToDate.getTime()))
  const life = Math.max(end - certificate.validFromDate.getTime(), 0)
  return end - Math.min(life * lastPart, longestLastPartMs)
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

function read(socket: TLSSocket, under: ClientAuthorities): PresentedCertificate | null {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return null
  const error = socket.authorized ? undefined : String(socket.authorizationError)
  return { certificate, handshake: { authorities: under, error } }
}
