import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ClientAuthorities, PresentedCertificate } from '../../broker/authentication/client-certificates.ts'
import { networksOf } from '../../broker/lib/networks.ts'
import type { Events } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { readClientCert, readXfcc } from './forwarded-certificate.ts'
import { trackTlsConnections, type TlsConnections } from './tls-connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    peers: Peers
  }
}

/** The client of a request. */
export interface Peers {
  /** Its address: the peer's, or the one that a trusted proxy reports. Only characters of an IP address. */
  readonly addressOf: (request: FastifyRequest) => string
  /**
   * Its client certificate: the connection's, or the one that a trusted proxy reports. Nothing of it is verified beyond
   * what TLS did.
   *
   * @throws BrokerError `invalid_token` if a trusted proxy's header does not contain exactly one
   */
  readonly certificateOf: (request: FastifyRequest) => PresentedCertificate | undefined
}

/** Which peers are proxies, and which certificates count. */
export interface PeerOptions {
  /** Addresses and networks (CIDR) of proxies that send requests for others, and never for themselves. */
  readonly trustedProxies: readonly string[]
  /** The current authorities of client certificates; `undefined` if there are none. */
  readonly authorities: () => ClientAuthorities | undefined
  /** Called for every header that only a trusted proxy may send and that another peer sent. */
  readonly headerIgnored: Events['headerIgnored']
}

/** Headers that identify the peer of a proxy. Only trusted proxies may send them. */
export const forwarding = ['x-forwarded-for', 'x-forwarded-client-cert', 'client-cert'] as const

/** One of {@link forwarding}. */
export type ForwardingHeader = (typeof forwarding)[number]

/**
 * Decorates the server with `peers`. A connection that was made before the authorities changed is closed after its next
 * response.
 */
export function addPeerLookup(app: FastifyInstance, options: PeerOptions): void {
  const connections = trackTlsConnections(app.server, options.authorities)
  app.decorate('peers', createPeers(options, connections))
  if (options.authorities() === undefined) return
  app.addHook('onSend', ({ raw }, reply, _payload, done) => {
    if (connections.isStale(raw.socket)) reply.header('connection', 'close')
    done()
  })
}

function createPeers({ trustedProxies, authorities, headerIgnored }: PeerOptions, connections: TlsConnections): Peers {
  const trusted = networksOf(trustedProxies)
  const isTrusted = (address: string): boolean => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  const isProxy = (request: FastifyRequest): boolean =>
    trustedProxies.length > 0 && isTrusted(request.socket.remoteAddress ?? '')
  const ownAddresses = new WeakMap<FastifyRequest['socket'], string>()
  const ownAddress = ({ socket }: FastifyRequest): string => {
    const known = ownAddresses.get(socket)
    if (known !== undefined) return known
    const own = socket.remoteAddress ?? ''
    const plain = plainAddress(own) ?? own
    ownAddresses.set(socket, plain)
    return plain
  }
  return {
    addressOf: request => {
      if (isProxy(request)) return clientOf(textOf(request, 'x-forwarded-for') ?? '', isTrusted) ?? ownAddress(request)
      for (const header of forwarding) if (request.headers[header] !== undefined) headerIgnored(header)
      return ownAddress(request)
    },
    certificateOf: request => {
      if (!authorities()) return undefined
      return isProxy(request) ? forwardedIn(request) : connections.presentedOn(request.socket)
    },
  }
}

const textOf = ({ headers }: FastifyRequest, name: ForwardingHeader): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

/**
 * The last address that is not a trusted proxy's. Each proxy appends its peer's address, so anything before the last
 * untrusted address can be forged.
 */
function clientOf(header: string, isTrusted: (address: string) => boolean): string | undefined {
  let nearest: string | undefined
  for (const entry of header.split(',').toReversed()) {
    const address = plainAddress(entry.trim())
    if (address === undefined) return nearest
    nearest = address
    if (!isTrusted(address)) return address
  }
  return nearest
}

/** An address without its port, brackets and the prefix of an IPv4 address in IPv6; `undefined` for anything else. */
function plainAddress(text: string): string | undefined {
  const [, bracketed, withPort] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  const address = (bracketed ?? withPort ?? text).replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(address) === 0 || address.includes('%') ? undefined : address
}

function forwardedIn(request: FastifyRequest): PresentedCertificate | undefined {
  const [xfcc, clientCert] = [textOf(request, 'x-forwarded-client-cert'), textOf(request, 'client-cert')]
  if (xfcc !== undefined && clientCert !== undefined) {
    throw new BrokerError('invalid_token', 'The proxy sent both X-Forwarded-Client-Cert and Client-Cert.', {
      reason: 'certificate',
    })
  }
  if (xfcc !== undefined) return { certificate: readXfcc(xfcc) }
  return clientCert === undefined ? undefined : { certificate: readClientCert(clientCert) }
}
