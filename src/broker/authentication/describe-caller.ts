import type { JWTPayload } from 'jose'
import type { CallerFacts, JwtFacts } from '../policy/caller-facts.ts'
import { isUriPattern } from '../policy/caller-matcher.ts'
import { isEntraIssuer } from '../lib/identifiers.ts'
import { userOf } from './entra-users.ts'
import { reasonsToRefuse } from './jwt-refusals.ts'
import { quoted } from '../lib/text/quoted.ts'
import type { Policy } from '../policy/model.ts'

/** A caller as described for `policy explain`. Nothing about it is verified. */
export interface CallerDescription {
  readonly facts: CallerFacts
  /** Why the broker would refuse the credential even if its signature is valid. Sentences for people. */
  readonly refusals: readonly string[]
}

/**
 * Describes the caller of a token with these claims.
 * @param now milliseconds since 1970
 * @throws Error if the claims have no issuer, or the policy does not have that issuer
 */
export function describeClaims(policy: Policy, claims: JWTPayload, now: number): CallerDescription {
  const settings = policy.issuers.find(({ issuer }) => issuer === claims.iss)
  if (typeof claims.iss !== 'string') throw new Error('the claims have no issuer (iss)')
  if (!settings) throw new Error(`no issuer of the policy is ${quoted(claims.iss)} (iss)`)
  const user = isEntraIssuer(claims.iss) ? userOf(claims) : undefined
  const facts: JwtFacts = { kind: 'jwt', issuer: settings.name, subject: String(claims.sub), claims, user }
  return { facts, refusals: reasonsToRefuse(claims, settings, now, policy.delegatedIssuers.has(settings.name)) }
}

/**
 * Describes the caller of a token of which only some claims are given: an absent `aud` or `exp` is taken for a good one.
 * Otherwise as {@link describeClaims}.
 */
export function describeSomeClaims(policy: Policy, claims: JWTPayload, now: number): CallerDescription {
  const audiences = policy.issuers.find(({ issuer }) => issuer === claims.iss)?.audiences ?? []
  const { refusals } = describeClaims(policy, { aud: [...audiences], exp: now / 1000 + 60, ...claims }, now)
  return { facts: describeClaims(policy, claims, now).facts, refusals }
}

/**
 * Describes the caller of an API key. If the key is being replaced, the one that expires last decides.
 * @param now milliseconds since 1970
 * @throws Error if the policy has no key with this name
 */
export function describeKey(policy: Policy, name: string, now: number): CallerDescription {
  const keys = policy.apiKeys.filter(key => key.name === name)
  const last = keys.toSorted((a, b) => a.expiresAt - b.expiresAt).at(-1)
  if (!last) throw new Error(`the policy has no API key "${name}"`)
  const refusals = last.expiresAt <= now ? [`The API key has expired (${last.expires}).`] : []
  return { facts: { kind: 'apiKey', key: name, expires: last.expires }, refusals }
}

/** Describes the caller of a client certificate with these subject alternative names. */
export const describeNames = (names: readonly string[]): CallerDescription => ({
  facts: {
    kind: 'certificate',
    uris: names.filter(isUriPattern),
    dnsNames: names.filter(name => !isUriPattern(name)).map(name => name.toLowerCase()),
    fingerprint: '',
  },
  refusals: [],
})
