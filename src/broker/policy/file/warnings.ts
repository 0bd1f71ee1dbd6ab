import { isAtEntraHost, isGuid } from '../../lib/identifiers.ts'
import { keyWarnings } from './entries/api-keys.ts'
import type { IssuerSettings, Policy } from '../model.ts'

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
    ...policy.issuers.flatMap(entraWarnings),
    ...keyWarnings(policy.apiKeys, now),
    ...(usesCertificates && !certificates
      ? ['callers with "san" match no caller, because client certificates are not accepted without TLS_CLIENT_CA_FILE']
      : []),
  ]
}

/**
 * Typical mistakes in an issuer of Entra, with which no token matches: v1.0 tokens have an issuer with a slash at its end,
 * v2.0 tokens one with `/v2.0` at its end and without a slash, and the client id as audience. Both have the id of one tenant,
 * in every cloud (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function entraWarnings({ name, issuer, audiences }: IssuerSettings): readonly string[] {
  const warnings: string[] = []
  const none = 'matches no token, because'
  const expected = entraIssuerFor(issuer)
  const tenant = isAtEntraHost(issuer) ? /^https:\/\/(?:login|sts)\.[^/]+\/([^/]*)/.exec(issuer)?.[1] : undefined
  if (tenant !== undefined && !isGuid(tenant)) {
    const what = `${none} the iss of Entra's tokens has the id of one tenant, not ${JSON.stringify(tenant)}`
    warnings.push(`issuers.${name}.issuer: ${what}`)
  } else if (expected !== undefined) {
    warnings.push(`issuers.${name}.issuer: ${none} the iss of Entra's tokens is ${expected}`)
  }
  if (tenant !== undefined && /\/v2\.0\/?$/.test(issuer)) {
    const uri = audiences.find(audience => audience.startsWith('api://'))
    const what = `${none} the aud of Entra's v2.0 tokens is the client id of the API, not ${JSON.stringify(uri)}`
    if (uri !== undefined) warnings.push(`issuers.${name}.audiences: ${what}`)
  }
  return warnings
}

/** The issuer in Entra's tokens, in quotes, if the policy's differs from it at the end. */
function entraIssuerFor(issuer: string): string | undefined {
  if (!isAtEntraHost(issuer)) return undefined
  const [, v2, tenant] = /^(https:\/\/login\.[^/]+\/([^/]+))(?:\/|\/v2\.0\/)?$/.exec(issuer) ?? []
  if (v2 !== undefined) {
    const v1 =
      new URL(v2).hostname === 'login.microsoftonline.com' ? ` or, in v1.0, "https://sts.windows.net/${tenant}/"` : ''
    return `"${v2}/v2.0"${issuer.endsWith('/v2.0/') ? '' : v1}`
  }
  return /^https:\/\/sts\.[^/]+\/[^/]+$/.test(issuer) ? `"${issuer}/"` : undefined
}
