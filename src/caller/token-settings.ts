import { isExchange, isGuid, isName, scopeOrNamePattern } from '../broker/lib/identifiers.ts'
import { visible } from '../broker/tokens/verify-token.ts'
import { EnvironmentReader, type Environment } from '../config/environment.ts'
import { readProxy, type ProxySettings } from '../config/proxy.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../errors.ts'
import { readBroker, readCredentialFiles, readTenant, textsOf, type Flags } from './flags.ts'
import type { RequestedToken } from './tokens-request.ts'
import type { CredentialFiles } from './workload-credential.ts'

/** What `token` can print, the default first. */
export const tokenOutputs = ['token', 'json', 'summary', 'azure-cli', 'exec-credential', 'terraform', 'curl'] as const

/** One of {@link tokenOutputs}. */
export type TokenOutput = (typeof tokenOutputs)[number]

/** A managed identity of the caller's own, whose token is its credential at the broker. */
export interface OwnIdentity {
  /** The audience of its token: the broker's API. */
  readonly audience: string
  /** Client id of a user-assigned identity; `undefined` for the system-assigned one. */
  readonly clientId: string | undefined
  /** `IDENTITY_ENDPOINT`; empty if only a command line is printed. */
  readonly endpoint: string
}

/** The settings of `token-broker token`, from its flags. */
export interface TokenSettings {
  /** The broker's origin. */
  readonly broker: string
  readonly requested: RequestedToken
  /** Files of the credential. With {@link identity}, none of them is a token or an API key. */
  readonly credential: CredentialFiles
  readonly identity: OwnIdentity | undefined
  readonly output: TokenOutput
  /** The proxy through which the broker is reached, unless it is on loopback or `NO_PROXY` names it. */
  readonly proxy: ProxySettings | undefined
  /** Problems of the environment that may explain why the broker is unreachable. */
  readonly warnings: readonly string[]
}

/**
 * Reads the flags of `token-broker token`.
 *
 * @param given the flags by name, without the dashes; flags that were not given are absent
 * @param environment names the proxy and, with `--managed-identity`, the identity endpoint
 * @throws InvalidConfigurationError with all errors, each with the name of the flag or the variable
 */
export function readTokenSettings(
  given: Readonly<Record<string, string | boolean | undefined>>,
  environment: Environment,
): TokenSettings {
  const flags = textsOf(given)
  const read = new EnvironmentReader(environment)
  const { errors } = read
  const output = readOutput(flags, errors)
  const isManaged = flags['managed-identity'] !== undefined
  const settings: TokenSettings = {
    broker: readBroker(flags, errors),
    requested: {
      tenant: readTenant(flags, errors),
      scope: readScope(flags, errors),
      application: readApplication(flags, errors),
      ...readAgent(flags, errors),
    },
    credential: readCredentialFiles(flags, errors, { flag: '--managed-identity', isGiven: isManaged }),
    identity: isManaged ? readIdentity(flags, read, output) : refuseIdentityFlags(flags, errors),
    output,
    proxy: readProxy(read),
    warnings: read.warnings,
  }
  if (errors.length > 0) throw new InvalidConfigurationError('The flags are invalid', errors)
  return Object.freeze(settings)
}

function readScope({ scope }: Flags, errors: ConfigurationError[]): string {
  if (scope !== undefined && new RegExp(`^${scopeOrNamePattern}$`).test(scope)) return scope
  const text = "<resource>/.default, or a scope's name (in lower case) in the broker's policy"
  errors.push({
    where: '--scope',
    what: scope === undefined ? `is required (${text})` : `must be ${text}; got "${scope}"`,
  })
  return ''
}

function readApplication({ application = 'default' }: Flags, errors: ConfigurationError[]): string {
  if (isName(application)) return application
  if (isGuid(application)) return application.toLowerCase()
  const what = `must be an application's name in the broker's policy, or its client id; got "${application}"`
  errors.push({ where: '--application', what })
  return ''
}

function readAgent({ agent, application }: Flags, errors: ConfigurationError[]): Pick<RequestedToken, 'agent'> {
  if (agent === undefined) return {}
  if (application !== undefined) {
    const what = 'cannot be combined with --application: the application of an agent identity is its blueprint'
    errors.push({ where: '--agent', what })
  } else if (!isName(agent) && !isGuid(agent)) {
    const what = `must be an agent identity's name in the broker's policy, or its client id; got "${agent}"`
    errors.push({ where: '--agent', what })
  }
  return { agent: agent.toLowerCase() }
}

function readOutput({ output = tokenOutputs[0] }: Flags, errors: ConfigurationError[]): TokenOutput {
  const known = tokenOutputs.find(each => each === output)
  if (known === undefined) {
    errors.push({ where: '--output', what: `must be one of ${tokenOutputs.join(', ')}; got "${output}"` })
  }
  return known ?? tokenOutputs[0]
}

function readIdentity(flags: Flags, read: EnvironmentReader, output: TokenOutput): OwnIdentity {
  const { audience = '', 'client-id': clientId } = flags
  const wrong = wrongWithAudience(audience)
  if (wrong !== undefined) read.addError('--audience', wrong)
  if (clientId !== undefined && !isGuid(clientId)) read.addError('--client-id', `must be a GUID; got "${clientId}"`)
  return { audience, clientId, endpoint: output === 'curl' ? '' : readEndpoint(read) }
}

function wrongWithAudience(audience: string): string | undefined {
  const text = "the identifier URI or the client id of the broker's API registration"
  if (audience === '') return `is required with --managed-identity (${text})`
  if (!visible.test(audience)) return `must be ${text}, without white space; got "${audience}"`
  if (audience.endsWith('/.default')) return `must be ${text}, without /.default; got "${audience}"`
  if (!isExchange(audience)) return undefined
  return `must be ${text}: a token for "${audience}" is the credential of an application, and no broker may receive it`
}

/** MSAL reads both variables itself. */
function readEndpoint(read: EnvironmentReader): string {
  const hint = 'Container Apps and App Service set it when a managed identity is assigned to the app or the job'
  const endpoint = read.required('IDENTITY_ENDPOINT', hint)
  if (endpoint !== '' && !/^https?:/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    read.addError('IDENTITY_ENDPOINT', 'must be an http or https URL')
  }
  read.requiredSecret('IDENTITY_HEADER', hint)
  return endpoint
}

function refuseIdentityFlags(flags: Flags, errors: ConfigurationError[]): undefined {
  for (const name of ['audience', 'client-id']) {
    if (flags[name] !== undefined) errors.push({ where: `--${name}`, what: 'has no effect without --managed-identity' })
  }
}
