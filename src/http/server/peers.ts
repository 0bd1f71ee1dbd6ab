import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ClientAuthorities, PresentedCertificate } from '../../broker/authentication/client-certificates.ts'
import { networksOf } from '../../broker/lib/networks.ts'
import type { Events } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { readClientCert, readXfcc } from './forwarded-certificate.ts'
import { trackHandshakes, type Handshakes } from './tls-connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    peers: Peers
  }
}

/** Who is at the other end of a request. */
export interface Peers {
  /** Its address: the peer's, or the one that a trusted proxy says it had. Only characters of an IP address. */
  readonly addressOf: (request: FastifyRequest) => string
  /**
   * Its client certificate: the connection's, or the one that a trusted proxy says it had. Nothing of it is verified
   * beyond what TLS did.
   *
   * @throws BrokerError `invalid_token` when a trusted proxy's header does not hold exactly one
   */
  readonly certificateOf: (request: FastifyRequest) => PresentedCertificate | undefined
}

export interface PeerOptions {
  /** Addresses and networks (CIDR) of proxies that speak for others, and never for themselves. */
  readonly trustedProxies: readonly string[]
  /** Those whose certificates authenticate callers now; `undefined` where none do. */
  readonly authorities: () => ClientAuthorities | undefined
  /** Told of every header that only a trusted proxy may set and that somebody else did. */
  readonly headerIgnored: Events['headerIgnored']
}

const forwarding = ['x-forwarded-for', 'x-forwarded-client-cert', 'client-cert'] as const

/** Headers that say who a proxy's peer is. */
export type ForwardingHeader = (typeof forwarding)[number]

/** Makes the server know its peers, and closes connections that were made under other authorities after their answer. */
export function addPeers(app: FastifyInstance, options: PeerOptions): void {
  const handshakes = trackHandshakes(app.server, options.authorities)
  app.decorate('peers', createPeers(options, handshakes))
  if (options.authorities() === undefined) return
  app.addHook('onSend', ({ raw }, reply, _payload, done) => {
    if (handshakes.isStale(raw.socket)) reply.header('connection', 'close')
    done()
  })
}

function createPeers({ trustedProxies, authorities, headerIgnored }: PeerOptions, handshakes: Handshakes): Peers {
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
      return isProxy(request) ? forwardedIn(request) : handshakes.presentedOn(request.socket)
    },
  }
}

const textOf = ({ headers }: FastifyRequest, name: ForwardingHeader): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

/**
 * The last address that a trusted proxy did not add itself. Each proxy adds its peer at the end, so what stands before the
 * first untrusted one from there is anybody's word.
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
