import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ClientAuthorities, PresentedCertificate } from '../../../broker/authentication/client-certificates.ts'
import { networksOf } from '../../../broker/lib/networks.ts'
import type { Events } from '../../../broker/events.ts'
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
   * Its client certificate: the connection's, or the one that a trusted proxy reports in the configured header. Nothing of
   * it is verified beyond what TLS did.
   *
   * @throws BrokerError `invalid_token` if a trusted proxy's header does not contain exactly one
   */
  readonly certificateOf: (request: FastifyRequest) => PresentedCertificate | undefined
  /** Whether its connection is closed after the next response. */
  readonly isLast: (request: FastifyRequest) => boolean
}

/** Which peers are proxies, and which certificates count. */
export interface PeerOptions {
  /** Addresses and networks (CIDR) of proxies that send requests for others, and never for themselves. */
  readonly trustedProxies: readonly string[]
  /**
   * The one header in which they forward certificates. They overwrite only this one, so another would come from anyone.
   * Without it no forwarded certificate is read.
   */
  readonly clientCertHeader?: CertificateHeader | undefined
  /** The current authorities of client certificates; `undefined` if there are none. */
  readonly authorities: () => ClientAuthorities | undefined
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called for every header that identifies a proxy's peer and is not read: its sender is no trusted proxy, or uses another. */
  readonly headerIgnored: Events['headerIgnored']
}

/** A header in which a proxy may forward the certificate of its peer. */
export type CertificateHeader = 'client-cert' | 'x-forwarded-client-cert'

/** Headers that identify the peer of a proxy. Only trusted proxies may send them. */
export const forwarding = ['x-forwarded-for', 'x-forwarded-client-cert', 'client-cert', 'client-cert-chain'] as const

/** One of {@link forwarding}. */
export type ForwardingHeader = (typeof forwarding)[number]

/** Every header that is read with one that has the certificate. */
const headersOf: Readonly<Record<CertificateHeader, readonly ForwardingHeader[]>> = {
  'client-cert': ['client-cert', 'client-cert-chain'],
  'x-forwarded-client-cert': ['x-forwarded-client-cert'],
}

/**
 * Decorates the server with `peers`. A connection is closed after its next response if it was made before the authorities
 * changed, or if its client certificate ends soon: see {@link trackTlsConnections}.
 */
export function addPeerLookup(app: FastifyInstance, options: PeerOptions): void {
  const connections = trackTlsConnections(app.server, options)
  const peers = createPeers(options, connections)
  app.decorate('peers', peers)
  if (options.authorities() === undefined) return
  app.addHook('onClose', (_app, done) => {
    connections.close()
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (peers.isLast(request)) reply.header('connection', 'close')
    done()
  })
}

function createPeers(options: PeerOptions, connections: TlsConnections): Peers {
  const { trustedProxies, clientCertHeader, authorities, headerIgnored } = options
  const trusted = networksOf(trustedProxies)
  const used = new Set<string>(['x-forwarded-for', ...(clientCertHeader ? headersOf[clientCertHeader] : [])])
  const unread = forwarding.filter(header => !used.has(header))
  const ignore = ({ headers }: FastifyRequest, names: readonly ForwardingHeader[]): void => {
    for (const name of names) if (headers[name] !== undefined) headerIgnored(name)
  }
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
      const isTrustedProxy = isProxy(request)
      ignore(request, isTrustedProxy ? unread : forwarding)
      if (!isTrustedProxy) return ownAddress(request)
      return clientOf(textOf(request, 'x-forwarded-for') ?? '', isTrusted) ?? ownAddress(request)
    },
    certificateOf: request => {
      if (!authorities()) return undefined
      return isProxy(request) ? forwardedIn(request, clientCertHeader) : connections.presentedOn(request.socket)
    },
    isLast: ({ raw }) => authorities() !== undefined && connections.isStale(raw.socket),
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

function forwardedIn(request: FastifyRequest, header: CertificateHeader | undefined): PresentedCertificate | undefined {
  if (header === undefined) return undefined
  const text = textOf(request, header)
  if (text === undefined) return undefined
  return header === 'client-cert' ? readClientCert(text, textOf(request, 'client-cert-chain')) : readXfcc(text)
}
