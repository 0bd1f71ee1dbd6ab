import { systemClock } from '../broker/lib/clock.ts'
import type { Config } from '../config/config.ts'
import type { Environment } from '../config/environment.ts'
import { InvalidConfigurationError } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { subscriberSettingsOf, warnOfPolicy } from './subscribers.ts'
import { version } from './package.ts'
import { listen, stopOnSignal } from './process.ts'
import { readStartSettings, withFileErrors } from './start-errors.ts'
import { bufferedOutput } from '../telemetry/output.ts'
import { wire, type Service } from './wire.ts'

/**
 * Runs the broker until a signal stops it: settings → wire → listen → drain.
 * @param handOverSignals is called once this module handles signals
 * @throws ExitError if it cannot start
 */
export async function serve(environment: Environment, handOverSignals: () => void): Promise<void> {
  const { config, policy } = await readStartSettings(environment).catch(asExitError)
  const sink = bufferedOutput(1)
  process.on('exit', sink.flush)
  const service = await wire(config, policy, sink).catch(async (thrown: unknown) =>
    asExitError(
      thrown instanceof InvalidConfigurationError ? await withFileErrors(thrown, environment, policy) : thrown,
    ),
  )
  const { log } = service
  log.info({ version, node: process.version, proxy: config.proxy?.shownUrl }, 'starting')
  for (const warning of config.warnings) log.warn({ source: 'environment' }, warning)
  warnOfPolicy(log, policy, subscriberSettingsOf(config), systemClock)

  try {
    await listenAll(service, config)
  } catch (thrown) {
    // A listener that is already open would keep the process running.
    await service.close()
    throw thrown
  }
  log.info({ policy: policy.version, rules: policy.rules.length, issuers: policy.issuers.length }, 'policy loaded')
  service.watchPolicy()
  stopOnSignal(service, config)
  process.on('SIGHUP', () => void service.reload())
  handOverSignals()
  await service.warmUp()
  if (service.isReady()) log.info('ready')
}

function asExitError(thrown: unknown): never {
  if (thrown instanceof InvalidConfigurationError) throw new ExitError(thrown.message, exitCodes.configuration)
  throw thrown
}

async function listenAll({ app, management, log }: Service, config: Config): Promise<void> {
  await listen(app, { host: config.host, port: config.port, hostName: 'HOST', portName: 'PORT' }, log)
  if (management && config.management) {
    const names = { hostName: 'MANAGEMENT_HOST', portName: 'MANAGEMENT_PORT' }
    await listen(management, { ...config.management, ...names }, log)
  }
}
