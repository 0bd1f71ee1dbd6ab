import { isGuid, tenantPattern } from '../broker/lib/identifiers.ts'
import { originOf } from '../broker/lib/origin.ts'
import type { ConfigurationError } from '../errors.ts'
import type { CredentialFiles } from './workload-credential.ts'

// The flags that the agent and `token` have in common: which broker, which tenant, and the caller's credential.

/** The flags of a command line by name, without the dashes; the value of a switch is `true`. */
export type Flags = Readonly<Record<string, string | undefined>>

/** The flags that were given, as texts. */
export const textsOf = (given: Readonly<Record<string, string | boolean | undefined>>): Flags =>
  Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )

/** The broker's origin, to which credentials may be sent; an error and an empty text otherwise. */
export function readBroker({ broker }: Flags, errors: ConfigurationError[]): string {
  const origin = broker === undefined ? undefined : originOf(broker)
  if (origin !== undefined) return origin
  const url = 'an https URL (http on loopback only) without a path'
  errors.push({
    where: '--broker',
    what: broker === undefined ? `is required (the broker's URL: ${url})` : `must be ${url}; got "${broker}"`,
  })
  return ''
}

/** One tenant: an id, in lower case, or a name; an error and an empty text otherwise. */
export function readTenant({ tenant }: Flags, errors: ConfigurationError[]): string {
  if (tenant !== undefined && new RegExp(`^${tenantPattern}$`).test(tenant)) {
    return isGuid(tenant) ? tenant.toLowerCase() : tenant
  }
  const text = "a tenant's id, or its name (in lower case) in the broker's policy"
  const what = tenant === undefined ? `is required (${text})` : `must be ${text}; got "${tenant}"`
  errors.push({ where: '--tenant', what })
  return ''
}

/**
 * The files of the caller's credential. Contradictions are errors.
 *
 * @param other how a command can authenticate without a file, for its messages; without it, a file is required
 */
export function readCredentialFiles(
  flags: Flags,
  errors: ConfigurationError[],
  other?: { readonly flag: string; readonly isGiven: boolean },
): CredentialFiles {
  const { 'token-file': tokenFile, 'api-key-file': apiKeyFile, cert, key, 'ca-file': caFile } = flags
  const bearers = [
    ...(tokenFile !== undefined ? ['--token-file'] : []),
    ...(apiKeyFile !== undefined ? ['--api-key-file'] : []),
    ...(other?.isGiven ? [other.flag] : []),
  ]
  if (bearers.length > 1) {
    errors.push({
      where: bearers.at(-1) ?? '',
      what: `cannot be combined with ${bearers[0]}, since a request carries only one of them`,
    })
  }
  if ((cert === undefined) !== (key === undefined)) {
    errors.push({
      where: cert === undefined ? '--cert' : '--key',
      what: `is required with ${cert === undefined ? '--key' : '--cert'}`,
    })
  }
  if (bearers.length === 0 && cert === undefined && key === undefined) {
    const others = other ? `, ${other.flag},` : ','
    const what = `is required, or --api-key-file${others} or --cert and --key (the workload's own credential)`
    errors.push({ where: '--token-file', what })
  }
  const certificate = cert !== undefined && key !== undefined ? { certFile: cert, keyFile: key } : undefined
  return { tokenFile, apiKeyFile, certificate, caFile }
}
