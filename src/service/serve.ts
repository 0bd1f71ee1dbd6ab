import { systemClock } from '../broker/lib/clock.ts'
import type { Policy } from '../broker/policy/model.ts'
import { readConfig, type Config } from '../config/config.ts'
import type { Environment } from '../config/environment.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { subscriberSettingsOf, warnOfPolicy } from './subscribers.ts'
import { loadSettledPolicy } from '../outbound/files/policy-file.ts'
import { listen, stopOnSignal } from './process.ts'
import { configurationConflicts } from './policy-reload.ts'
import { bufferedOutput } from '../telemetry/output.ts'
import { wire, type Service } from './wire.ts'

/**
 * Runs the broker until a signal stops it: settings → wire → listen → drain.
 * @param handOverSignals is called once this module handles signals
 * @throws ExitError if it cannot start
 */
export async function serve(environment: Environment, handOverSignals: () => void): Promise<void> {
  const { config, policy } = await readSettings(environment)
  const sink = bufferedOutput(1)
  process.on('exit', sink.flush)
  const service = await wire(config, policy, sink).catch(asExitError)
  const { log } = service
  for (const warning of config.warnings) log.warn({ source: 'environment' }, warning)
  warnOfPolicy(log, policy, subscriberSettingsOf(config), systemClock)

  try {
    await listenAll(service, config)
  } catch (thrown) {
    // A listener that is already open would keep the process running.
    await service.close()
    throw thrown
  }
  log.info(
    { policy: policy.version, rules: policy.rules.length, issuers: policy.issuers.length, node: process.version },
    'policy loaded',
  )
  service.watchPolicy()
  stopOnSignal(service, config)
  process.on('SIGHUP', () => void service.reload())
  handOverSignals()
  await service.warmUp()
  if (service.isReady()) log.info('ready')
}

/** Reads the environment and the policy file, and reports all errors of both together. */
async function readSettings(environment: Environment): Promise<{ config: Config; policy: Policy }> {
  const errors: ConfigurationError[] = []
  const collect = (thrown: unknown): undefined => {
    if (!(thrown instanceof InvalidConfigurationError)) throw thrown
    errors.push(...thrown.errors)
  }
  let config: Config | undefined
  try {
    config = readConfig(environment)
  } catch (thrown) {
    collect(thrown)
  }
  const policyFile = environment['BROKER_POLICY_FILE']
  const policy = policyFile ? await loadSettledPolicy(policyFile).catch(collect) : undefined
  if (config && policy) errors.push(...configurationConflicts(config, policy))
  if (config && policy && errors.length === 0) return { config, policy }
  return asExitError(new InvalidConfigurationError('The broker cannot start', errors))
}

function asExitError(thrown: unknown): never {
  if (thrown instanceof InvalidConfigurationError) throw new ExitError(thrown.message, exitCodes.configuration)
  throw thrown
}

async function listenAll({ app, management }: Service, config: Config): Promise<void> {
  await listen(app, { host: config.host, port: config.port, hostName: 'HOST', portName: 'PORT' })
  if (management && config.management) {
    const names = { hostName: 'MANAGEMENT_HOST', portName: 'MANAGEMENT_PORT' }
    await listen(management, { ...config.management, ...names })
  }
}
