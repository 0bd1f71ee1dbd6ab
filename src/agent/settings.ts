import { join } from 'node:path'
import { EnvironmentReader, type Environment } from '../config/environment.ts'
import { readOtlp } from '../config/otlp.ts'
import { readProxy, type ProxySettings } from '../config/proxy.ts'
import { readTracing, type TracingSettings } from '../config/tracing.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../errors.ts'
import { readBroker, readCredentialFiles, readTenant, textsOf, type Flags } from '../caller/flags.ts'
import type { CredentialFiles } from '../caller/workload-credential.ts'

/** Where the agent listens: on loopback, or on a Unix socket. */
export type LocalAddress = { readonly host: string; readonly port: number } | { readonly socket: string }

/** The settings of `token-broker agent`, from its flags. */
export interface AgentSettings {
  /** The central broker's origin. */
  readonly broker: string
  /** The one tenant for which it gets tokens: an id in lower case, or a name in the broker's policy. */
  readonly tenant: string
  readonly credential: CredentialFiles
  readonly listen: LocalAddress
  /** The file of the local secret. The agent creates it if it does not exist. */
  readonly secretFile: string
  /** Whether the metadata protocol is served, whose requests carry no secret. */
  readonly metadata: boolean
  /** Whether the protocol of the Entra sidecar is served, which has a path whose requests carry no secret. */
  readonly sidecar: boolean
  readonly revalidateSeconds: number
  readonly logLevel: (typeof logLevels)[number]
  /** The proxy through which the broker is reached, unless it is on loopback or `NO_PROXY` names it. */
  readonly proxy: ProxySettings | undefined
  /** Where spans are sent. Without it, nothing is traced. */
  readonly tracing: TracingSettings | undefined
  /** Problems of the environment that do not prevent a start. */
  readonly warnings: readonly string[]
}

const logLevels = ['info', 'trace', 'debug', 'warn', 'error', 'fatal'] as const

/**
 * Reads the flags of `token-broker agent`.
 *
 * @param given the flags by name, without the dashes; flags that were not given are absent
 * @param environment has the variables of the proxy and of OpenTelemetry, and names the system's folder for files that live as long as a service
 * @throws InvalidConfigurationError with all errors, each with the name of the flag or the variable
 */
export function readFlags(
  given: Readonly<Record<string, string | boolean | undefined>>,
  environment: Environment,
): AgentSettings {
  const flags = textsOf(given)
  const read = new EnvironmentReader(environment)
  const { errors } = read
  const settings: AgentSettings = {
    broker: readBroker(flags, errors),
    tenant: readTenant(flags, errors),
    credential: readCredentialFiles(flags, errors),
    listen: readAddress(flags, errors),
    secretFile: readSecretFile(flags, environment, errors),
    metadata: flags['metadata'] !== undefined,
    sidecar: flags['sidecar'] !== undefined,
    revalidateSeconds: readNumber(flags, 'revalidate', { defaultValue: 300, min: 10, max: 3600 }, errors),
    logLevel: readLogLevel(flags, errors),
    proxy: readProxy(read),
    tracing: readTracing(read, readOtlp(read, 'token-broker-agent').traces),
    warnings: read.warnings,
  }
  if (errors.length > 0) throw new InvalidConfigurationError('The flags are invalid', errors)
  return Object.freeze(settings)
}

function readAddress(flags: Flags, errors: ConfigurationError[]): LocalAddress {
  const { host = '127.0.0.1', socket } = flags
  if (socket !== undefined) {
    for (const name of ['host', 'port', 'metadata', 'sidecar'] as const) {
      if (flags[name] !== undefined) errors.push({ where: `--${name}`, what: 'has no effect with --socket' })
    }
    return { socket }
  }
  if (!/^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host)) {
    const what = 'must be a loopback address such as 127.0.0.1, because the agent serves its own host only'
    errors.push({ where: '--host', what: `${what}; got "${host}"` })
  }
  // A hosts file can map a name to any address.
  const address = host === 'localhost' ? '127.0.0.1' : host
  return { host: address, port: readNumber(flags, 'port', { defaultValue: 8081, min: 0, max: 65_535 }, errors) }
}

function readSecretFile(flags: Flags, environment: Environment, errors: ConfigurationError[]): string {
  const file = flags['secret-file']
  if (file !== undefined && file !== '') return file
  const folder = environment['RUNTIME_DIRECTORY']?.split(':', 1)[0] || environment['XDG_RUNTIME_DIR']
  if (folder !== undefined && folder !== '') return join(folder, 'token-broker-agent.secret')
  const what = 'is required if neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR names a folder for the secret'
  errors.push({ where: '--secret-file', what })
  return ''
}

interface Range {
  readonly defaultValue: number
  readonly min: number
  readonly max: number
}

function readNumber(flags: Flags, name: 'port' | 'revalidate', range: Range, errors: ConfigurationError[]): number {
  const given = flags[name]
  if (given === undefined) return range.defaultValue
  const number = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN
  if (number >= range.min && number <= range.max) return number
  errors.push({
    where: `--${name}`,
    what: `must be a whole number from ${range.min} to ${range.max}; got "${given}"`,
  })
  return range.defaultValue
}

function readLogLevel(flags: Flags, errors: ConfigurationError[]): AgentSettings['logLevel'] {
  const given = flags['log-level'] ?? logLevels[0]
  const level = logLevels.find(each => each === given)
  if (level === undefined)
    errors.push({ where: '--log-level', what: `must be one of ${logLevels.join(', ')}; got "${given}"` })
  return level ?? logLevels[0]
}
