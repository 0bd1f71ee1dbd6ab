import type { CallerFacts, CertificateFacts, JwtFacts, UserFacts } from './caller-facts.ts'
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

/** How the user, the subject and the claims of a token are compared. */
interface Comparison {
  readonly user: (text: CallerText) => (user: UserFacts | undefined) => boolean
  readonly subject: (expected: string) => Matcher
  readonly claim: (expected: string | number | boolean) => Matcher
}

/**
 * Compiles a caller of a rule of a valid policy file. With `delegated` it matches users only, without it applications only.
 * A guest of the tenant must be named by `oid`: guests get into groups and roles in more ways than others.
 */
export const compileCaller = (text: CallerText): CallerMatcher =>
  compile(text, { user: userMatcher, subject: textMatcher, claim: claimMatcher })

const userMatcher: Comparison['user'] = text => {
  if (text.delegated === undefined) return user => user === undefined
  const admitsGuests = namesOid(text)
  return user => user !== undefined && (admitsGuests || !user.isGuest)
}

const namesOid = ({ claims }: CallerText): boolean =>
  Object.keys(claims ?? {}).some(name => claimPath(name)?.join('/') === 'oid')

/** In a denial, a caller without `delegated` is an application or a user. */
const deniedUserMatcher: Comparison['user'] = text =>
  text.delegated === undefined ? () => true : user => user !== undefined

/** Compiles a caller of a denial. It matches in case of doubt, such as a number where the token has its digits as a text. */
export const compileDeniedCaller = (text: CallerText): CallerMatcher =>
  compile(text, { user: deniedUserMatcher, subject: deniedTextMatcher, claim: deniedClaimMatcher })

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
  const isKind = comparison.user(text)
  const subject = text.subject === undefined ? undefined : comparison.subject(text.subject)
  const claims: readonly ClaimMatcher[] = Object.entries(text.claims ?? {}).map(([name, expected]) => {
    return { name, path: claimPath(name) ?? [], expected, matches: comparison.claim(expected) }
  })
  const matches = (caller: JwtFacts): boolean =>
    caller.issuer === issuer &&
    isKind(caller.user) &&
    (subject?.(caller.subject) ?? true) &&
    claims.every(claim => claim.matches(valueAt(caller.claims, claim.path)))
  return {
    kind: 'jwt',
    matches: caller => caller.kind === 'jwt' && matches(caller),
    mismatch: caller => (caller.kind === 'jwt' ? jwtMismatch(caller, issuer, text, claims) : 'the caller has no JWT'),
  }
}

/** Why a caller of a rule does not match. Denials are not explained caller by caller. */
function jwtMismatch(caller: JwtFacts, issuer: string, text: CallerText, claims: readonly ClaimMatcher[]) {
  const { subject } = text
  if (caller.issuer !== issuer) return `the issuer is "${caller.issuer}", not "${issuer}"`
  if (!userMatcher(text)(caller.user)) return userMismatch(caller.user, text)
  if (subject !== undefined && !textMatcher(subject)(caller.subject)) {
    return `the subject is ${quoted(caller.subject)}, not "${subject}"`
  }
  const failed = claims.find(({ path, matches }) => !matches(valueAt(caller.claims, path)))
  if (!failed) return undefined
  const value = valueAt(caller.claims, failed.path)
  const is = value === undefined ? 'is absent' : `is ${JSON.stringify(value)}`
  return `the claim "${failed.name}" ${is}, not ${JSON.stringify(failed.expected)}`
}

function userMismatch(user: UserFacts | undefined, { delegated }: CallerText): string {
  if (user === undefined) return "the token is an application's own, not a delegated one"
  return delegated
    ? 'the user is a guest, whom only a rule with the claim "oid" matches'
    : 'the token is a delegated one'
}
