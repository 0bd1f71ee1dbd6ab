import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import type { ClientAuthorities, PresentedCertificate } from '../../broker/authentication/client-certificates.ts'

/** The TLS connections of a server. */
export interface TlsConnections {
  /** The client certificate of a connection, and the result of its verification by TLS. */
  readonly presentedOn: (socket: Socket) => PresentedCertificate | undefined
  /** Whether the authorities have changed since the connection was made. */
  readonly isStale: (socket: Socket) => boolean
}

interface Connection {
  /** The authorities at the start of the handshake. */
  readonly under: ClientAuthorities
  /** Read on first use; `null` if there is none. */
  presented: PresentedCertificate | null | undefined
}

/** The most connections whose handshake is tracked at once. */
const maxConnecting = 10_000
/** For connections without authorities: no certificate is verified under these. */
const noAuthorities: ClientAuthorities = { certificates: [] }

/**
 * Tracks for each connection the authorities at the start of its handshake. TLS verified its certificate under those, even
 * if the authorities have changed by the end of the handshake.
 */
export function trackTlsConnections(server: Server, authorities: () => ClientAuthorities | undefined): TlsConnections {
  const connecting = new LRUCache<string, ClientAuthorities>({ max: maxConnecting })
  const connections = new WeakMap<Socket, Connection>()
  if (server instanceof TlsServer) {
    // The socket before TLS and the one after are two objects; their peer is the same.
    server.on('connection', (raw: Socket) => connecting.set(peerOf(raw), authorities() ?? noAuthorities))
    server.on('secureConnection', (socket: TLSSocket) => {
      const under = connecting.get(peerOf(socket)) ?? noAuthorities
      connecting.delete(peerOf(socket))
      connections.set(socket, { under, presented: undefined })
    })
  }
  return {
    presentedOn: socket => {
      const connection = connections.get(socket)
      if (connection === undefined || !(socket instanceof TLSSocket)) return undefined
      if (connection.presented === undefined) connection.presented = read(socket, connection.under)
      return connection.presented ?? undefined
    },
    isStale: socket => {
      const connection = connections.get(socket)
      return connection !== undefined && connection.under !== authorities()
    },
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

function read(socket: TLSSocket, under: ClientAuthorities): PresentedCertificate | null {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return null
  const error = socket.authorized ? undefined : String(socket.authorizationError)
  return { certificate, handshake: { authorities: under, error } }
}
