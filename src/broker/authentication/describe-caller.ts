import type { JWTPayload } from 'jose'
import type { CallerFacts, JwtFacts } from '../policy/caller-facts.ts'
import { isUriPattern } from '../policy/caller-matcher.ts'
import { reasonsToRefuse } from './jwt-refusals.ts'
import type { Policy } from '../policy/model.ts'

/** A caller as somebody describes him who asks about a policy: nothing of it is verified. */
export interface CallerDescription {
  readonly facts: CallerFacts
  /** Why the broker would not let him in, however good the signature. */
  readonly refusals: readonly string[]
}

/**
 * Who the holder of a token with these claims would be.
 * @param now milliseconds since 1970
 * @throws Error when its issuer is none of the policy's
 */
export function describeClaims(policy: Policy, claims: JWTPayload, now: number): CallerDescription {
  const settings = policy.issuers.find(({ issuer }) => issuer === claims.iss)
  if (claims.iss === undefined) throw new Error('the claims have no issuer (iss)')
  if (!settings) throw new Error(`no issuer of the policy is ${JSON.stringify(claims.iss)} (iss)`)
  const facts: JwtFacts = { kind: 'jwt', issuer: settings.name, subject: String(claims.sub), claims }
  return { facts, refusals: reasonsToRefuse(claims, settings, now) }
}

/**
 * Who the holder of an API key would be.
 * @throws Error when the policy has no such key
 */
export function describeKey(policy: Policy, name: string, now: number): CallerDescription {
  const keys = policy.apiKeys.filter(key => key.name === name)
  const last = keys.toSorted((a, b) => a.expiresAt - b.expiresAt).at(-1)
  if (!last) throw new Error(`the policy has no API key "${name}"`)
  const faults = last.expiresAt <= now ? [`The API key has expired (${last.expires}).`] : []
  return { facts: { kind: 'apiKey', key: name, expires: last.expires }, refusals: faults }
}

/** Who the holder of a client certificate with these subject alternative names would be. */
export const describeNames = (names: readonly string[]): CallerDescription => ({
  facts: {
    kind: 'certificate',
    uris: names.filter(isUriPattern),
    dnsNames: names.filter(name => !isUriPattern(name)).map(name => name.toLowerCase()),
    fingerprint: '',
  },
  refusals: [],
})
