import { join } from 'node:path'
import { isGuid, tenantPattern } from '../broker/lib/identifiers.ts'
import { originOf } from '../broker/lib/origin.ts'
import type { Environment } from '../config/environment.ts'
import { FaultsError, type Fault } from '../errors.ts'
import type { CredentialFiles } from './workload-credential.ts'

/** Where the agent listens: on loopback, or on a Unix socket. */
export type LocalAddress = { readonly host: string; readonly port: number } | { readonly socket: string }

/** What the flags of `token-broker agent` say. */
export interface AgentSettings {
  /** The central broker's origin. */
  readonly broker: string
  /** The one tenant whose tokens there are: an id in lower case, or a name in the broker's policy. */
  readonly tenant: string
  readonly credential: CredentialFiles
  readonly listen: LocalAddress
  /** Holds the local secret; made if it is not there. */
  readonly secretFile: string
  /** Whether the metadata protocol is spoken, which carries no secret. */
  readonly metadata: boolean
  readonly revalidateSeconds: number
  readonly logLevel: (typeof logLevels)[number]
}

const logLevels = ['info', 'trace', 'debug', 'warn', 'error', 'fatal'] as const
/** What was given on the command line, by the flag's name; a switch is `true`. */
type Flags = Readonly<Record<string, string | undefined>>

/**
 * Reads the flags of `token-broker agent`.
 *
 * @param given by name, without the dashes; what was not given is absent
 * @param environment where the system says which folder holds what lives as long as a service
 * @throws FaultsError with every fault, each with the flag's name
 */
export function readFlags(
  given: Readonly<Record<string, string | boolean | undefined>>,
  environment: Environment,
): AgentSettings {
  const flags: Flags = Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )
  const faults: Fault[] = []
  const settings: AgentSettings = {
    broker: readBroker(flags, faults),
    tenant: readTenant(flags, faults),
    credential: readCredentialFiles(flags, faults),
    listen: readAddress(flags, faults),
    secretFile: readSecretFile(flags, environment, faults),
    metadata: flags['metadata'] !== undefined,
    revalidateSeconds: readNumber(flags, 'revalidate', { otherwise: 300, least: 10, most: 3600 }, faults),
    logLevel: readLogLevel(flags, faults),
  }
  if (faults.length > 0) throw new FaultsError('The flags are faulty', faults)
  return Object.freeze(settings)
}

function readBroker({ broker }: Flags, faults: Fault[]): string {
  const origin = broker === undefined ? undefined : originOf(broker)
  if (origin !== undefined) return origin
  const what = 'https (plain http on loopback only), without a path'
  faults.push({
    where: '--broker',
    what: broker === undefined ? `is required: the broker's URL, ${what}` : `"${broker}" is no such URL: ${what}`,
  })
  return ''
}

function readTenant({ tenant }: Flags, faults: Fault[]): string {
  if (tenant !== undefined && new RegExp(`^${tenantPattern}$`).test(tenant)) {
    return isGuid(tenant) ? tenant.toLowerCase() : tenant
  }
  const what = "a tenant's id, or its name in the broker's policy (names are in lower case)"
  faults.push({ where: '--tenant', what: tenant === undefined ? `is required: ${what}` : `"${tenant}" is not ${what}` })
  return ''
}

function readCredentialFiles(flags: Flags, faults: Fault[]): CredentialFiles {
  const { 'token-file': tokenFile, 'api-key-file': apiKeyFile, cert, key, 'ca-file': caFile } = flags
  if (tokenFile !== undefined && apiKeyFile !== undefined) {
    faults.push({ where: '--api-key-file', what: 'excludes --token-file: a request carries one of them' })
  }
  if ((cert === undefined) !== (key === undefined)) {
    faults.push({ where: cert === undefined ? '--cert' : '--key', what: '--cert and --key need each other' })
  }
  if (tokenFile === undefined && apiKeyFile === undefined && cert === undefined && key === undefined) {
    const what = "is required (or --api-key-file, or --cert and --key): the workload's own credential"
    faults.push({ where: '--token-file', what })
  }
  const certificate = cert !== undefined && key !== undefined ? { certFile: cert, keyFile: key } : undefined
  return { tokenFile, apiKeyFile, certificate, caFile }
}

function readAddress(flags: Flags, faults: Fault[]): LocalAddress {
  const { host = '127.0.0.1', socket } = flags
  if (socket !== undefined) {
    for (const name of ['host', 'port', 'metadata'] as const) {
      if (flags[name] !== undefined) faults.push({ where: `--${name}`, what: 'is of no use with --socket' })
    }
    return { socket }
  }
  if (!/^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host)) {
    const what = 'is not loopback: the agent hands out tokens to its own host only, such as 127.0.0.1'
    faults.push({ where: '--host', what: `"${host}" ${what}` })
  }
  // A name could be made to mean any address.
  const address = host === 'localhost' ? '127.0.0.1' : host
  return { host: address, port: readNumber(flags, 'port', { otherwise: 8081, least: 0, most: 65_535 }, faults) }
}

function readSecretFile(flags: Flags, environment: Environment, faults: Fault[]): string {
  const file = flags['secret-file']
  if (file !== undefined && file !== '') return file
  const folder = environment['RUNTIME_DIRECTORY']?.split(':', 1)[0] || environment['XDG_RUNTIME_DIR']
  if (folder !== undefined && folder !== '') return join(folder, 'token-broker-agent.secret')
  const what = 'is required where neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR names a folder for it'
  faults.push({ where: '--secret-file', what })
  return ''
}

interface Range {
  readonly otherwise: number
  readonly least: number
  readonly most: number
}

function readNumber(flags: Flags, name: 'port' | 'revalidate', range: Range, faults: Fault[]): number {
  const given = flags[name]
  if (given === undefined) return range.otherwise
  const number = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN
  if (number >= range.least && number <= range.most) return number
  faults.push({ where: `--${name}`, what: `"${given}" is no whole number from ${range.least} to ${range.most}` })
  return range.otherwise
}

function readLogLevel(flags: Flags, faults: Fault[]): AgentSettings['logLevel'] {
  const given = flags['log-level'] ?? logLevels[0]
  const level = logLevels.find(each => each === given)
  if (level === undefined) faults.push({ where: '--log-level', what: `"${given}" is none of ${logLevels.join(', ')}` })
  return level ?? logLevels[0]
}
