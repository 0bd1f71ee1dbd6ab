import { isAtEntraHost } from '../lib/identifiers.ts'
import { keyWarnings } from './api-key-entries.ts'
import type { Policy } from './model.ts'

/** What the warnings of a policy depend on besides the policy. */
export interface PolicySurroundings {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Whether this broker accepts client certificates. */
  readonly certificates: boolean
}

/**
 * The warnings of a valid policy, as text for people: expired and expiring keys, issuers that match no token, entries that
 * grant nothing. Empty if there are none.
 */
export function policyWarnings(policy: Policy, { now, certificates }: PolicySurroundings): readonly string[] {
  const callers = [...policy.rules, ...policy.denials].flatMap(entry => entry.callers ?? [])
  const usesCertificates = callers.some(({ kind }) => kind === 'certificate')
  return [
    ...policy.warnings,
    ...policy.issuers.flatMap(({ name, issuer }) => {
      const expected = entraIssuerFor(issuer)
      return expected === undefined
        ? []
        : [`issuers.${name}.issuer: matches no token, because the iss of Entra's tokens is "${expected}"`]
    }),
    ...keyWarnings(policy.apiKeys, now),
    ...(usesCertificates && !certificates
      ? ['callers with "san" match no caller, because client certificates are not accepted without TLS_CLIENT_CA_FILE']
      : []),
  ]
}

/**
 * The issuer in Entra's tokens, if the policy's differs from it by a slash at the end: v1.0 tokens have one, v2.0 tokens
 * have none, in every cloud (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function entraIssuerFor(issuer: string): string | undefined {
  if (!isAtEntraHost(issuer)) return undefined
  if (/^https:\/\/login\.[^/]+\/[^/]+\/v2\.0\/$/.test(issuer)) return issuer.slice(0, -1)
  return /^https:\/\/sts\.[^/]+\/[^/]+$/.test(issuer) ? `${issuer}/` : undefined
}
