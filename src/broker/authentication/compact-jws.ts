import { decodeJwt, decodeProtectedHeader, type JWTPayload, type ProtectedHeaderParameters } from 'jose'
import type { UnverifiedFacts } from '../../errors.ts'
import { beginningOf, quoted } from '../lib/text/quoted.ts'

/** Base64url without padding (RFC 4648 §5, §3.2), in which unused bits are zero (§3.5). */
const base64url = '(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?'
const compact = new RegExp(String.raw`^${base64url}\.${base64url}\.${base64url}$`)

/**
 * Whether a text is a compact JWS (RFC 7515 §3.1) in the one spelling that each has. Decoders skip white space and padding,
 * and ignore unused bits, so one valid token could be sent in any number of spellings, each of which would be verified and
 * cached. The parts themselves are not decoded.
 */
export const isCanonicalJws = (text: string): boolean => compact.test(text)

/** What a compact JWS says of itself. Nothing of it is verified. */
export interface UnverifiedJwt {
  readonly header: ProtectedHeaderParameters
  readonly payload: JWTPayload
}

/** Decodes a JWT; `undefined` if it is none in its one spelling. */
export function decodeUnverified(text: string): UnverifiedJwt | undefined {
  if (!isCanonicalJws(text)) return undefined
  try {
    return { header: decodeProtectedHeader(text), payload: decodeJwt(text) }
  } catch {
    return undefined
  }
}

/** Audiences that an error repeats, and audiences that a log line has. */
const maxAudiences = 3
/** Characters of an audience in an error, which is in a header too. */
const longestAudience = 128

/** The `aud` and `iss` of a token, in sentences for its sender, who chose them. */
export function receivedClaims({ aud, iss }: JWTPayload): string {
  const audiences = textsIn(aud)
  const shown = audiences.slice(0, maxAudiences).map(each => quoted(each, longestAudience))
  const more = audiences.length > maxAudiences ? ` and ${audiences.length - maxAudiences} more` : ''
  const [issuer] = textsIn(iss).map(each => quoted(each))
  const received = `It has the aud ${shown.join(', ') || 'none'}${more} and the iss ${issuer ?? 'none'}.`
  return `${received} Both must be as in the policy, byte for byte.`
}

/** Characters of one value in a log line. Lines of many addresses are kept for a minute. */
const longestLogged = 128

/** What an operator needs to know about a token that was refused. Short copies, since the token can be long. */
export function unverifiedFacts({ header: { kid }, payload: { iss, aud } }: UnverifiedJwt): UnverifiedFacts {
  const [issuer, audiences, key] = [iss, aud, kid].map(each =>
    textsIn(each)
      .slice(0, maxAudiences)
      .map(text => beginningOf(text, longestLogged)),
  )
  return { iss: issuer?.[0], aud: audiences, kid: key?.[0] }
}

/** The texts in a claim, which can be of any type. */
const textsIn = (claim: unknown): readonly string[] => [claim].flat().filter(each => typeof each === 'string')
