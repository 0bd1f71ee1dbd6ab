import type { X509Certificate } from 'node:crypto'
import {
  bitsOf,
  type CertificateContents,
  contentsOf,
  extensionIds,
  keyUsages,
  netscapeClient,
  pathLengthOf,
} from './contents.ts'
import { isStrongKey, isStrongSignature, isTooLarge } from './strength.ts'

/** The most certificates of a chain, the leaf and the authority at its top included. */
export const maxChainLength = 8

/**
 * The most signatures that are verified for one chain. A chain of {@link maxChainLength} needs eight if each of its
 * authorities has a name of its own. Authorities that share a name and have no key identifiers must be tried one after the
 * other, and an attacker can make many of them: seven with P-521 keys cost 68 ms of CPU without this limit, and 24 ms with it.
 */
export const maxVerifications = 16

/** id-kp-clientAuth (RFC 5280 §4.2.1.12). OpenSSL does not take anyExtendedKeyUsage for it. */
export const clientAuth = '1.3.6.1.5.5.7.3.2'

/** Extensions that this file, or the comparison of names, understands. */
const understood: ReadonlySet<string> = new Set([
  extensionIds.basicConstraints,
  extensionIds.keyUsage,
  extensionIds.extendedKeyUsage,
  extensionIds.subjectAltName,
])

/**
 * Builds the chain of a certificate that no TLS handshake verified: from the leaf over `intermediates` to an authority, and
 * on over authorities to one that signed itself, if it is among them. Verifies the signatures. Among several issuers with the
 * same key, one that is valid now is preferred.
 *
 * @param now milliseconds since 1970
 * @returns `undefined` if there is no chain of {@link maxChainLength} certificates at most, or if it takes more than
 *   {@link maxVerifications} signatures to find it
 */
export function chainOf(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  now: number,
): readonly X509Certificate[] | undefined {
  const chain = [leaf]
  let isAnchored = false
  let left = maxVerifications
  /** Fails for good after the limit: a part of the chain that was not looked at must not count as absent. */
  const isSignedBy: Signed = (subject, candidate) => left-- > 0 && verifies(subject, candidate)
  for (let below = leaf; chain.length < maxChainLength;) {
    const above: X509Certificate | undefined =
      issuerOf(below, authorities, now, isSignedBy) ??
      (isAnchored ? undefined : issuerOf(below, intermediates, now, isSignedBy))
    if (above === undefined || above.fingerprint256 === below.fingerprint256) break
    isAnchored ||= authorities.includes(above)
    chain.push(above)
    below = above
  }
  return isAnchored && left >= 0 ? chain : undefined
}

/** Whether a certificate is signed with the key of another. */
type Signed = (subject: X509Certificate, candidate: X509Certificate) => boolean

function issuerOf(
  subject: X509Certificate,
  candidates: readonly X509Certificate[],
  now: number,
  isSignedBy: Signed,
): X509Certificate | undefined {
  return candidates
    .filter(candidate => candidate.ca && subject.checkIssued(candidate))
    .toSorted((a, b) => Number(isValidAt(b, now)) - Number(isValidAt(a, now)))
    .find(candidate => isSignedBy(subject, candidate))
}

const isValidAt = ({ validFromDate, validToDate }: X509Certificate, now: number): boolean =>
  validFromDate.getTime() <= now && now <= validToDate.getTime()

/** A signature by a very large key is not verified, since that takes long. */
function verifies(subject: X509Certificate, { publicKey }: X509Certificate): boolean {
  try {
    return !isTooLarge(publicKey) && subject.verify(publicKey)
  } catch {
    // OpenSSL does not support the key or the algorithm.
    return false
  }
}

/**
 * Checks the chain of {@link chainOf} for what OpenSSL would refuse in a handshake, and for what this file does not
 * understand: key usage and extended key usage, path lengths, critical extensions, keys and signatures that are too weak. Name
 * constraints (RFC 5280 §4.2.1.10) are not evaluated: an authority that has them is refused. Does not check dates, names or
 * revocation.
 *
 * @returns what is wrong, to complete "The client certificate cannot be verified: …"; `undefined` if nothing is
 */
export function whyRefused(chain: readonly X509Certificate[]): string | undefined {
  try {
    let between = 0
    for (const [nth, certificate] of chain.entries()) {
      const contents = contentsOf(certificate)
      const why = (nth === 0 ? leafProblem : authorityProblem)(certificate, contents, between)
      if (why !== undefined) return why
      // Nothing depends on the signature of the last one: it is trusted itself.
      if (nth < chain.length - 1 && !isStrongSignature(contents))
        return `${nameOf(nth)} is signed with a weak algorithm`
      if (!isStrongKey(certificate.publicKey)) return `${nameOf(nth)} has a weak key`
      if (nth > 0 && certificate.subject !== certificate.issuer) between++
    }
    return undefined
  } catch {
    return 'a certificate cannot be read'
  }
}

/** Whether an authority has name constraints, so that no forwarded certificate below it is accepted. */
export function hasNameConstraints(authority: X509Certificate): boolean {
  try {
    return contentsOf(authority).extensions.has(extensionIds.nameConstraints)
  } catch {
    return false
  }
}

const nameOf = (nth: number): string => (nth === 0 ? 'it' : 'an authority above it')

type Problem = (certificate: X509Certificate, contents: CertificateContents, between: number) => string | undefined

const leafProblem: Problem = (certificate, contents) => {
  const usage = bitsOf(contents, 'keyUsage')
  if (usage !== undefined && (usage & (keyUsages.digitalSignature | keyUsages.keyAgreement)) === 0) {
    return 'its key is not for signatures (key usage)'
  }
  if (((bitsOf(contents, 'netscapeType') ?? netscapeClient) & netscapeClient) === 0) {
    return 'it is not for clients (Netscape certificate type)'
  }
  return extensionProblem(certificate, contents, 'it')
}

/** @param between the authorities between this one and the leaf, without those that have its own name */
const authorityProblem: Problem = (certificate, contents, between) => {
  const usage = bitsOf(contents, 'keyUsage')
  if (usage !== undefined && (usage & keyUsages.keyCertSign) === 0) {
    return 'an authority above it may not sign certificates (key usage)'
  }
  if (contents.extensions.has(extensionIds.nameConstraints)) {
    return 'an authority above it has name constraints, which are checked only where the broker itself terminates TLS'
  }
  if (between > (pathLengthOf(contents) ?? maxChainLength))
    return 'an authority above it limits the length of the chain'
  return extensionProblem(certificate, contents, 'an authority above it')
}

function extensionProblem(
  { keyUsage: purposes }: X509Certificate,
  { extensions }: CertificateContents,
  name: string,
): string | undefined {
  // Node's name for the extended key usage. A certificate without the extension may be used for anything.
  if (
    extensions.has(extensionIds.extendedKeyUsage) &&
    !(purposes as readonly string[] | undefined)?.includes(clientAuth)
  ) {
    return `${name} is not for clients (extended key usage)`
  }
  const isUnknown = [...extensions].some(([id, { isCritical }]) => isCritical && !understood.has(id))
  return isUnknown ? `${name} has a critical extension that the broker does not know` : undefined
}
