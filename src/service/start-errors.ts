import type { Policy } from '../broker/policy/model.ts'
import { readConfig, type Config } from '../config/config.ts'
import type { Environment } from '../config/environment.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../errors.ts'
import { readAuthorities } from '../outbound/files/client-authorities.ts'
import { loadSettledPolicy } from '../outbound/files/policy-file.ts'
import { readTlsPair } from '../outbound/files/tls-files.ts'
import { issuerFileErrors } from '../outbound/issuers/issuer-keys.ts'
import { configurationConflicts } from './policy-reload.ts'
import { signInErrors } from './sign-in.ts'

/** What a broker starts with. */
export interface StartSettings {
  readonly config: Config
  readonly policy: Policy
}

/**
 * Reads the environment and the policy file.
 * @throws InvalidConfigurationError with the errors of both, and of the files that they name
 */
export async function readStartSettings(environment: Environment): Promise<StartSettings> {
  const errors: ConfigurationError[] = []
  let config: Config | undefined
  try {
    config = readConfig(environment)
  } catch (thrown) {
    errors.push(...errorsOf(thrown))
  }
  const policyFile = environment['BROKER_POLICY_FILE']
  const policy = policyFile ? await orErrors(loadSettledPolicy(policyFile), errors) : undefined
  if (config && policy) errors.push(...configurationConflicts(config, policy), ...signInErrors(config, policy))
  if (config && policy && errors.length === 0) return { config, policy }
  errors.push(...(await fileErrors(environment, policy)))
  throw new InvalidConfigurationError(subject, errors)
}

const subject = 'The broker cannot start'

/**
 * The error of a start that failed because of a file that the environment or the policy names: it lists the errors of all
 * these files. A start that succeeds reads them only once.
 */
export async function withFileErrors(
  failed: InvalidConfigurationError,
  environment: Environment,
  policy: Policy,
): Promise<InvalidConfigurationError> {
  const errors = await fileErrors(environment, policy)
  // Other settings name files too, and a file may have been replaced meanwhile.
  const others = failed.errors.filter(({ where }) => !errors.some(error => error.where === where))
  return new InvalidConfigurationError(subject, [...others, ...errors])
}

async function fileErrors(environment: Environment, policy: Policy | undefined): Promise<ConfigurationError[]> {
  const errors: ConfigurationError[] = []
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CLIENT_CA_FILE: caFile } = environment
  if (certFile && keyFile) await orErrors(readTlsPair({ certFile, keyFile }), errors)
  if (caFile) await orErrors(readAuthorities(caFile), errors)
  if (policy) errors.push(...(await issuerFileErrors(policy.issuers)))
  return errors
}

/** The result, or `undefined` after its errors were added to `errors`. */
const orErrors = <T>(reading: Promise<T>, errors: ConfigurationError[]): Promise<T | undefined> =>
  reading.catch((thrown: unknown) => {
    errors.push(...errorsOf(thrown))
    return undefined
  })

function errorsOf(thrown: unknown): readonly ConfigurationError[] {
  if (thrown instanceof InvalidConfigurationError) return thrown.errors
  throw thrown
}
