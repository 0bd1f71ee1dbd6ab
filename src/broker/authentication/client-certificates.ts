import type { X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import type { CertificateFacts } from '../policy/caller-facts.ts'
import { chainOf, clientAuth, maxChainLength, whyRefused } from './certificates/chain.ts'
import { subjectAltNamesOf, type CertificateNames } from './certificates/names.ts'
import type { Clock } from '../lib/clock.ts'
import type { Policy } from '../policy/model.ts'

/** The authorities whose certificates authenticate callers. When their file changes, there is a new object. */
export interface ClientAuthorities {
  readonly certificates: readonly X509Certificate[]
}

/** The client certificate of a request, with what the TLS handshake found out about it. */
export interface PresentedCertificate {
  readonly certificate: X509Certificate
  /** Certificates between it and an authority that a proxy forwarded, in any order. Nothing of them is verified. */
  readonly intermediates?: readonly X509Certificate[]
  /** The result of the TLS handshake; `undefined` if a proxy forwarded the certificate of its peer. */
  readonly handshake?: {
    /** The authorities under which the chain was verified. */
    readonly authorities: ClientAuthorities
    /** OpenSSL's error code for the chain; `undefined` if the chain is valid. */
    readonly error: string | undefined
  }
}

/** A caller with a client certificate. Only this file creates one, from a certificate that was verified. */
class AuthenticatedCertificate implements CertificateFacts {
  readonly kind = 'certificate'
  readonly id: string
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly fingerprint: string
  readonly policy: Policy
  /** Makes the type nominal: an object with the same fields is not a caller. */
  protected readonly verified = true

  constructor({ uris, dnsNames }: CertificateNames, fingerprint: string, policy: Policy) {
    this.id = `certificate ${uris[0] ?? dnsNames[0] ?? fingerprint}`
    this.uris = uris
    this.dnsNames = dnsNames
    this.fingerprint = fingerprint
    this.policy = policy
    Object.freeze(this)
  }
}

/** A caller with a verified client certificate. Only this file creates one. */
export type CertificateCaller = AuthenticatedCertificate

/** A cached result, valid while the authorities and the policy stay the same. */
interface VerifiedCertificate {
  readonly caller: CertificateCaller
  readonly authorities: ClientAuthorities
  /** When the first certificate of the chain expires, in milliseconds since 1970. */
  readonly expiresAt: number
}

const maxCachedCertificates = 10_000
/** The total weight of all cached callers, in bytes. A certificate may have thousands of names. */
const maxCachedBytes = 16 * 1024 * 1024
/** What a caller weighs without its names. */
const entryBytes = 512

const weigh = ({ caller }: VerifiedCertificate): number =>
  entryBytes + [caller.id, ...caller.uris, ...caller.dnsNames].reduce((sum, name) => sum + 32 + 2 * name.length, 0)

/** Turns client certificates into callers. */
export interface CertificateVerifier {
  /**
   * Returns the caller of a certificate, under a version of the policy. Checks the chain up to an authority, the dates (for
   * every request), that the certificate is for clients and is not an authority itself, and its names. Does not check
   * whether it was revoked.
   *
   * @throws BrokerError `invalid_token`
   */
  readonly verify: (presented: PresentedCertificate, policy: Policy) => CertificateCaller
}

/**
 * Creates the verifier, which caches its results by the SHA-256 of the certificate.
 * @param authorities called for each request; returns `undefined` if the broker accepts no client certificates
 */
export function createCertificateVerifier(
  authorities: () => ClientAuthorities | undefined,
  clock: Clock,
): CertificateVerifier {
  const cache = new LRUCache<string, VerifiedCertificate>({
    max: maxCachedCertificates,
    maxSize: maxCachedBytes,
    sizeCalculation: weigh,
  })
  return {
    verify: (presented, policy) => {
      const current = authorities()
      if (!current) throw refusal('certificate', 'Client certificates are not accepted here.')
      const { certificate, handshake } = presented
      const now = clock.now()
      checkDates(certificate, now)
      if (handshake?.error !== undefined) throw chainRefusal(handshake.error)
      const key = `${handshake ? 'tls' : 'proxy'} ${certificate.fingerprint256}`
      const cached = cache.get(key)
      // After one above it has expired, it may come with a new one.
      const isCurrent = cached?.authorities === current && cached.caller.policy === policy && now <= cached.expiresAt
      if (isCurrent) return cached.caller
      checkUse(certificate)
      const isVerified = handshake?.authorities === current
      const chain = isVerified ? presentedChain(certificate) : verifyChain(presented, current, now)
      for (const link of chain) checkDates(link, now)
      const caller = new AuthenticatedCertificate(checkNames(certificate), fingerprintOf(certificate), policy)
      const expiresAt = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
      cache.set(key, { caller, authorities: current, expiresAt })
      return caller
    },
  }
}

/** The SHA-256 of a certificate in DER, in lower-case hex: the value of `cnf.x5t#S256` (RFC 8705 §3.1) in another encoding. */
export const fingerprintOf = ({ fingerprint256 }: X509Certificate): string =>
  fingerprint256.replaceAll(':', '').toLowerCase()

function checkDates({ validFromDate, validToDate }: X509Certificate, now: number): void {
  if (now < validFromDate.getTime()) throw notYetValid()
  if (now > validToDate.getTime()) throw expired()
}

function checkUse({ ca, keyUsage }: X509Certificate): void {
  if (ca) throw refusal('certificate', "The client certificate is an authority's, not a client's.")
  // Node's name for the extended key usage. A certificate without the extension may be used for anything.
  const usages: readonly string[] | undefined = keyUsage
  if (usages && !usages.includes(clientAuth)) {
    throw refusal('certificate', 'The client certificate is not for clients (extended key usage).')
  }
}

/** A SPIFFE ID must be the only URI of its certificate (X.509-SVID §2). */
function checkNames(certificate: X509Certificate): CertificateNames {
  const names = subjectAltNamesOf(certificate)
  if (!names || names.uris.length + names.dnsNames.length === 0) {
    throw refusal('certificate', 'The client certificate has no name: it needs a URI or a DNS name (SAN).')
  }
  if (names.uris.length > 1 && names.uris.some(uri => uri.startsWith('spiffe:'))) {
    throw refusal('certificate', 'The client certificate has a SPIFFE ID and another URI.')
  }
  return names
}

/** A certificate and the issuers above it that the client sent in the handshake. */
export function presentedChain(leaf: X509Certificate): readonly X509Certificate[] {
  const chain = [leaf]
  for (let above = leaf.issuerCertificate; above && chain.length < maxChainLength; above = above.issuerCertificate) {
    chain.push(above)
  }
  return chain
}

/**
 * Returns the chain of a certificate that TLS did not verify under the current authorities: from the certificate over the
 * issuers that came with it to one of the authorities. What OpenSSL would refuse in a handshake is refused, and a little more:
 * see {@link whyRefused}.
 */
function verifyChain(
  { certificate, intermediates }: PresentedCertificate,
  { certificates }: ClientAuthorities,
  now: number,
): readonly X509Certificate[] {
  const chain = chainOf(certificate, intermediates ?? presentedChain(certificate).slice(1), certificates, now)
  if (chain === undefined) throw chainRefusal()
  for (const link of chain) checkDates(link, now)
  const why = whyRefused(chain)
  if (why !== undefined) throw refusal('certificate', `The client certificate cannot be verified: ${why}.`)
  return chain
}

/** @param error OpenSSL's error code */
function chainRefusal(error = ''): BrokerError {
  if (error === 'CERT_HAS_EXPIRED') return expired()
  if (error === 'CERT_NOT_YET_VALID') return notYetValid()
  return refusal('certificate', 'No known authority issued the client certificate.')
}

const expired = () => refusal('expired', 'The client certificate, or one above it, has expired.')
const notYetValid = () => refusal('not_yet_valid', 'The client certificate, or one above it, is not valid yet.')

function refusal(reason: ReasonOf<'invalid_token'>, detail: string): BrokerError {
  return new BrokerError('invalid_token', detail, { reason })
}
