/** Base64url without padding (RFC 4648 §5, §3.2), in which unused bits are zero (§3.5). */
const base64url = '(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?'
const compact = new RegExp(String.raw`^${base64url}\.${base64url}\.${base64url}$`)

/**
 * Whether a text is a compact JWS (RFC 7515 §3.1) in the one spelling that each has. Decoders skip white space and padding,
 * and ignore unused bits, so one valid token could be sent in any number of spellings, each of which would be verified and
 * cached. The parts themselves are not decoded.
 */
export const isCanonicalJws = (text: string): boolean => compact.test(text)
