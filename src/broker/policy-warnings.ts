import { keyWarnings } from './policy-keys.ts'
import type { Policy } from './policy-model.ts'

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
    ...keyWarnings(policy.apiKeys, now),
    ...(namesHolders && !certificates
      ? ['callers with "san" match nobody: without TLS_CLIENT_CA_FILE no client certificate is accepted']
      : []),
  ]
}
