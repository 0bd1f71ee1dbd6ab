import type { CallerFacts, CertificateFacts, JwtFacts } from './caller-facts.ts'
import {
  claimMatcher,
  claimPath,
  deniedClaimMatcher,
  deniedTextMatcher,
  dnsMatcher,
  textMatcher,
  valueAt,
  type Matcher,
} from './patterns.ts'
import { quoted } from '../lib/text/quoted.ts'
import type { CallerText } from './file/schema.ts'

/** Decides whether a caller is one that a rule or a denial lists. */
export interface CallerMatcher {
  /** The kind of credential of the callers that it can match. */
  readonly kind: CallerFacts['kind']
  readonly matches: (caller: CallerFacts) => boolean
  /** The first condition that does not match, as text for people; `undefined` if all match. */
  readonly mismatch: (caller: CallerFacts) => string | undefined
}

/** One claim that a matcher compares. */
interface ClaimMatcher {
  readonly name: string
  readonly path: readonly string[]
  readonly expected: string | number | boolean
  readonly matches: Matcher
}

/** How the subject and the claims of a token are compared. */
interface Comparison {
  readonly subject: (expected: string) => Matcher
  readonly claim: (expected: string | number | boolean) => Matcher
}

/** Compiles a caller of a rule of a valid policy file. */
export const compileCaller = (text: CallerText): CallerMatcher =>
  compile(text, { subject: textMatcher, claim: claimMatcher })

/** Compiles a caller of a denial. It matches in case of doubt, such as a number where the token has its digits as a text. */
export const compileDeniedCaller = (text: CallerText): CallerMatcher =>
  compile(text, { subject: deniedTextMatcher, claim: deniedClaimMatcher })

function compile(text: CallerText, comparison: Comparison): CallerMatcher {
  if (text.apiKey !== undefined) return keyMatcher(text.apiKey)
  if (text.san !== undefined) return sanMatcher(text.san)
  return jwtMatcher(text.issuer ?? '', text, comparison)
}

/** Whether a SAN in the policy is a URI; any other is a DNS name. */
export const isUriPattern = (san: string): boolean => san.includes(':')

const keyMatcher = (name: string): CallerMatcher => ({
  kind: 'apiKey',
  matches: caller => caller.kind === 'apiKey' && caller.key === name,
  mismatch: caller => {
    if (caller.kind !== 'apiKey') return 'the caller has no API key'
    return caller.key === name ? undefined : `the API key is "${caller.key}", not "${name}"`
  },
})

function sanMatcher(san: string): CallerMatcher {
  const isUri = isUriPattern(san)
  const matcher = isUri ? textMatcher(san) : dnsMatcher(san)
  const namesOf = ({ uris, dnsNames }: CertificateFacts) => (isUri ? uris : dnsNames)
  return {
    kind: 'certificate',
    matches: caller => caller.kind === 'certificate' && namesOf(caller).some(matcher),
    mismatch: caller => {
      if (caller.kind !== 'certificate') return 'the caller has no client certificate'
      const names = namesOf(caller)
      if (names.some(matcher)) return undefined
      const has = names.length === 0 ? `no ${isUri ? 'URI' : 'DNS name'}` : names.map(name => quoted(name)).join(', ')
      return `the certificate has ${has}, not "${san}"`
    },
  }
}

function jwtMatcher(issuer: string, text: CallerText, comparison: Comparison): CallerMatcher {
  const subject = text.subject === undefined ? undefined : comparison.subject(text.subject)
  const claims: readonly ClaimMatcher[] = Object.entries(text.claims ?? {}).map(([name, expected]) => {
    return { name, path: claimPath(name) ?? [], expected, matches: comparison.claim(expected) }
  })
  const matches = (caller: JwtFacts): boolean =>
    caller.issuer === issuer &&
    (subject?.(caller.subject) ?? true) &&
    claims.every(claim => claim.matches(valueAt(caller.claims, claim.path)))
  return {
    kind: 'jwt',
    matches: caller => caller.kind === 'jwt' && matches(caller),
    mismatch: caller => (caller.kind === 'jwt' ? jwtMismatch(caller, issuer, text, claims) : 'the caller has no JWT'),
  }
}

/** Why a caller of a rule does not match. Denials are not explained caller by caller. */
function jwtMismatch(caller: JwtFacts, issuer: string, { subject }: CallerText, claims: readonly ClaimMatcher[]) {
  if (caller.issuer !== issuer) return `the issuer is "${caller.issuer}", not "${issuer}"`
  if (subject !== undefined && !textMatcher(subject)(caller.subject)) {
    return `the subject is ${quoted(caller.subject)}, not "${subject}"`
  }
  const failed = claims.find(({ path, matches }) => !matches(valueAt(caller.claims, path)))
  if (!failed) return undefined
  const value = valueAt(caller.claims, failed.path)
  const is = value === undefined ? 'is absent' : `is ${JSON.stringify(value)}`
  return `the claim "${failed.name}" ${is}, not ${JSON.stringify(failed.expected)}`
}
