import type { X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { BrokerError, type ReasonOf } from '../../errors.ts'
import type { CertificateFacts } from '../policy/caller-facts.ts'
import { subjectAltNamesOf, type CertificateNames } from './certificate-names.ts'
import type { Clock } from '../lib/clock.ts'
import type { Policy } from '../policy/model.ts'

/** The authorities whose certificates authenticate callers. New files make a new object. */
export interface ClientAuthorities {
  readonly certificates: readonly X509Certificate[]
}

/** A client certificate that came with a request, and what is known of it already. */
export interface PresentedCertificate {
  readonly certificate: X509Certificate
  /** What TLS found out in the handshake; `undefined` where a proxy only says that its peer has the certificate. */
  readonly handshake?: {
    /** Under which authorities the chain was verified. */
    readonly under: ClientAuthorities
    /** OpenSSL's name of what is wrong with the chain; `undefined` when nothing is. */
    readonly error: string | undefined
  }
}

/** A caller with a client certificate: made only here, from one that was verified. */
class AuthenticatedCertificate implements CertificateFacts {
  readonly kind = 'certificate'
  readonly id: string
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
  readonly fingerprint: string
  readonly policy: Policy
  /** Makes the type nominal: an object that merely looks like a caller is none. */
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

/** A caller with a verified client certificate. Only this file makes one. */
export type CertificateCaller = AuthenticatedCertificate

/** A certificate that was looked at, as long as nothing it was judged by changes. */
interface VerifiedCertificate {
  readonly caller: CertificateCaller
  readonly under: ClientAuthorities
  /** When the first of the chain expires, in milliseconds since 1970. */
  readonly until: number
}

const rememberedCertificates = 10_000
/** id-kp-clientAuth and anyExtendedKeyUsage (RFC 5280 §4.2.1.12). */
const clientUsages = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'])
const longestChain = 8

/** Turns client certificates into callers. */
export interface CertificateVerifier {
  /**
   * The holder of a certificate, under a version of the policy. Checks the chain up to an authority, the dates (on every
   * request), that it is for clients and no authority itself, and its names; asks nobody whether it was revoked.
   *
   * @throws BrokerError `invalid_token`
   */
  readonly verify: (presented: PresentedCertificate, policy: Policy) => CertificateCaller
}

/** @param authorities looked at for each request; `undefined` where certificates authenticate nobody */
export function createCertificateVerifier(
  authorities: () => ClientAuthorities | undefined,
  clock: Clock,
): CertificateVerifier {
  const judged = new LRUCache<string, VerifiedCertificate>({ max: rememberedCertificates })
  return {
    verify: (presented, policy) => {
      const under = authorities()
      if (!under) throw refusal('certificate', 'Client certificates are not accepted here.')
      const { certificate, handshake } = presented
      checkDates(certificate, clock.now())
      if (handshake?.error !== undefined) throw chainRefusal(handshake.error)
      const key = `${handshake ? 'tls' : 'proxy'} ${certificate.fingerprint256}`
      const known = judged.get(key)
      if (known?.under === under && known.caller.policy === policy) {
        if (clock.now() > known.until) throw expired()
        return known.caller
      }
      checkUse(certificate)
      const chain = handshake?.under === under ? sentWith(certificate) : verifiedChain(certificate, under)
      for (const each of chain) checkDates(each, clock.now())
      const caller = new AuthenticatedCertificate(checkNames(certificate), fingerprintOf(certificate), policy)
      const until = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
      judged.set(key, { caller, under, until })
      return caller
    },
  }
}

/** SHA-256 of a certificate in DER: what `cnf.x5t#S256` (RFC 8705 §3.1) holds, in lower-case hex. */
export const fingerprintOf = ({ fingerprint256 }: X509Certificate): string =>
  fingerprint256.replaceAll(':', '').toLowerCase()

function checkDates({ validFromDate, validToDate }: X509Certificate, now: number): void {
  if (now < validFromDate.getTime()) throw notYetValid()
  if (now > validToDate.getTime()) throw expired()
}

function checkUse({ ca, keyUsage }: X509Certificate): void {
  if (ca) throw refusal('certificate', "The client certificate is an authority's, not a client's.")
  // Node's name for the extended key usage. Without the extension, any use is meant.
  const usages: readonly string[] | undefined = keyUsage
  if (usages && !usages.some(usage => clientUsages.has(usage))) {
    throw refusal('certificate', 'The client certificate is not for clients (extended key usage).')
  }
}

/** A SPIFFE ID is the only URI of its certificate (X.509-SVID §2). */
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

/** A certificate and those above it that came along with it. */
function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const chain = [leaf]
  for (let above = leaf.issuerCertificate; above && chain.length < longestChain; above = above.issuerCertificate) {
    chain.push(above)
  }
  return chain
}

/**
 * The chain of a certificate that TLS did not verify under the authorities of now: over those that came along with it up
 * to one of the authorities. Constraints that an authority lays upon those below it (RFC 5280 §4.2.1.9, §4.2.1.10) are
 * OpenSSL's to check in a handshake; so of a proxy's certificates, which come alone, one of the authorities themselves
 * must have signed each.
 */
function verifiedChain(leaf: X509Certificate, { certificates }: ClientAuthorities): readonly X509Certificate[] {
  const chain: X509Certificate[] = []
  for (const link of sentWith(leaf)) {
    const below = chain.at(-1)
    if (below && !isIssuer(link, below)) break
    chain.push(link)
    const anchor = certificates.find(authority => isIssuer(authority, link))
    if (anchor) return [...chain, anchor]
  }
  throw chainRefusal()
}

function isIssuer(issuer: X509Certificate, subject: X509Certificate): boolean {
  try {
    return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
  } catch {
    // A key or an algorithm that OpenSSL cannot use.
    return false
  }
}

/** @param error OpenSSL's name of it */
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
