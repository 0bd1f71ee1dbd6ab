import { isEntraIssuer } from '../lib/identifiers.ts'
import { keyWarnings } from './api-key-entries.ts'
import type { Policy } from './model.ts'

/** What else a policy's effect depends on. */
export interface PolicySurroundings {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Whether client certificates authenticate callers here. */
  readonly certificates: boolean
}

/** What somebody should know of although the file is good: told when it comes into force. */
export function policyWarnings(policy: Policy, { now, certificates }: PolicySurroundings): readonly string[] {
  const callers = [...policy.rules, ...policy.denials].flatMap(entry => entry.callers ?? [])
  const namesHolders = callers.some(({ key: { by } }) => by === 'uri' || by === 'dnsName' || by === 'certificate')
  return [
    ...policy.warnings,
    ...policy.issuers.flatMap(({ name, issuer }) => {
      const said = entraSays(issuer)
      return said === undefined ? [] : [`issuers.${name}.issuer: matches no token, since Entra's say "${said}"`]
    }),
    ...keyWarnings(policy.apiKeys, now),
    ...(namesHolders && !certificates
      ? ['callers with "san" match nobody: without TLS_CLIENT_CA_FILE no client certificate is accepted']
      : []),
  ]
}

/**
 * What Entra's tokens have in the place of an issuer that is wrong by a slash at its end: v1.0 tokens have one, v2.0 tokens
 * none, in every cloud (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function entraSays(issuer: string): string | undefined {
  if (!isEntraIssuer(issuer)) return undefined
  if (/^https:\/\/login\.[^/]+\/[^/]+\/v2\.0\/$/.test(issuer)) return issuer.slice(0, -1)
  return /^https:\/\/sts\.[^/]+\/[^/]+$/.test(issuer) ? `${issuer}/` : undefined
}
