import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import type { ClientAuthorities, PresentedCertificate } from '../../broker/authentication/client-certificates.ts'

/** What is known of the TLS connections of a server. */
export interface Handshakes {
  /** The client certificate of a connection, and what TLS found of it. */
  readonly presentedOn: (socket: Socket) => PresentedCertificate | undefined
  /** Whether the authorities have changed since the connection was made. */
  readonly isStale: (socket: Socket) => boolean
}

interface Connection {
  readonly under: ClientAuthorities
  /** Read when it is asked for first; `null` where there is none. */
  presented: PresentedCertificate | null | undefined
}

/** Connections whose handshake is under way. */
const maxConnecting = 10_000
/** Under these nothing was ever verified. */
const nobody: ClientAuthorities = { certificates: [] }

/**
 * Remembers for each connection under which authorities its handshake began: those are the ones that it was verified
 * under, whatever has changed by the time it ends.
 */
export function trackHandshakes(server: Server, authorities: () => ClientAuthorities | undefined): Handshakes {
  const connecting = new LRUCache<string, ClientAuthorities>({ max: maxConnecting })
  const connections = new WeakMap<Socket, Connection>()
  if (server instanceof TlsServer) {
    // The socket before TLS and the one after are two objects; their peer is the same.
    server.on('connection', (raw: Socket) => connecting.set(peerOf(raw), authorities() ?? nobody))
    server.on('secureConnection', (socket: TLSSocket) => {
      const under = connecting.get(peerOf(socket)) ?? nobody
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
  return { certificate, handshake: { under, error } }
}
