import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { checkExchangeAudience } from './broker/policy-check.ts'
import type { Policy } from './broker/policy.ts'
import { readConfig, type Config } from './config.ts'
import type { Environment } from './environment.ts'
import { codeOf, FaultsError, type Fault } from './errors.ts'
import { loadPolicy } from './outbound/policy-file.ts'
import { bufferedOutput } from './telemetry/output.ts'
import type { Service } from './wire.ts'

/** What the process tells whoever started it. */
export const exitCodes = { stopped: 0, failed: 1, usage: 2, configuration: 3, listen: 4 } as const

/** A reason not to start that is not a bug: a message for people, and the exit code. */
export class StartError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.name = 'StartError'
    this.exitCode = exitCode
  }
}

/**
 * Runs the broker until a signal stops it: settings → wire → listen → drain.
 * @throws StartError when it cannot start
 */
export async function serve(environment: Environment): Promise<void> {
  const { config, policy } = await readSettings(environment)
  const sink = bufferedOutput(1)
  process.on('exit', sink.flush)
  // Not at the top: an agent is started by this file too, and needs no Azure SDK.
  const { wire } = await import('./wire.ts')
  const service = await wire(config, policy, sink).catch(asStartError)
  const { log } = service
  for (const warning of config.warnings) log.warn({ source: 'environment' }, warning)
  for (const warning of policy.warnings) log.warn({ source: 'policy' }, warning)

  await listen(service.app, { host: config.host, port: config.port, hostName: 'HOST', portName: 'PORT' })
  if (service.management && config.management) {
    const names = { hostName: 'MANAGEMENT_HOST', portName: 'MANAGEMENT_PORT' }
    await listen(service.management, { ...config.management, ...names })
  }
  log.info(
    { policy: policy.version, rules: policy.rules.length, issuers: policy.issuers.length, node: process.version },
    'the policy is loaded',
  )
  stopOnSignal(service, config)
  await service.warmUp()
  if (service.isReady()) log.info('ready')
}

/** Every fault of the environment and of the policy file at once. */
async function readSettings(environment: Environment): Promise<{ config: Config; policy: Policy }> {
  const faults: Fault[] = []
  const collect = (thrown: unknown): undefined => {
    if (!(thrown instanceof FaultsError)) throw thrown
    faults.push(...thrown.faults)
  }
  let config: Config | undefined
  try {
    config = readConfig(environment)
  } catch (thrown) {
    collect(thrown)
  }
  const policyFile = environment['BROKER_POLICY_FILE']
  const policy = policyFile ? await loadPolicy(policyFile).catch(collect) : undefined
  if (config?.identity.source === 'managed-identity' && policy) {
    faults.push(...checkExchangeAudience(policy, config.identity.audience))
  }
  if (config && policy && faults.length === 0) return { config, policy }
  return asStartError(new FaultsError('The broker cannot start', faults))
}

function asStartError(thrown: unknown): never {
  if (thrown instanceof FaultsError) throw new StartError(thrown.message, exitCodes.configuration)
  throw thrown
}

/** An address to listen on, and the names of the settings that say so. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly hostName: string
  readonly portName: string
}

/** @throws StartError when the address cannot be had */
export async function listen(app: FastifyInstance, { host, port, hostName, portName }: Address): Promise<void> {
  try {
    await app.listen({ host, port, listenTextResolver: address => `listening at ${address}` })
  } catch (thrown) {
    const why: Record<string, string> = {
      EADDRINUSE: `port ${port} is already taken: stop what uses it, or set ${portName}`,
      EACCES: `port ${port} needs more rights than this process has: set ${portName} to 1024 or more`,
      EADDRNOTAVAIL: `this machine does not have the address ${host}: correct ${hostName}`,
      ENOTFOUND: `the name ${host} has no address: correct ${hostName}`,
    }
    const message = why[codeOf(thrown) ?? '']
    if (message === undefined) throw thrown
    throw new StartError(`Cannot listen on ${host}: ${message}.`, exitCodes.listen)
  }
}

/**
 * npm passes on a signal that the terminal or `kill -- -pgid` has already sent to everybody: within this many
 * milliseconds a repeated signal is the same one.
 */
const sameSignalMs = 100

/**
 * The first SIGTERM or SIGINT drains: unready at once, serving for the drain time, so that whoever follows readiness
 * loses no request; then the listener closes and what is under way is answered. A second signal ends it at once, as does
 * a second unexpected error; the first one is logged and what is under way is still answered.
 */
export function stopOnSignal(service: Service, { drainSeconds }: Pick<Config, 'drainSeconds'>): void {
  const { log } = service
  let stoppingSince: number | undefined
  const stop = (drainMs: number, exitCode: number): void => {
    stoppingSince = performance.now()
    service.drain()
    sleep(drainMs)
      .then(service.close)
      .then(() => log.info('stopped'))
      .then(
        () => process.exit(exitCode),
        () => process.exit(exitCodes.failed),
      )
  }
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stoppingSince === undefined) {
      log.info({ signal, drain_seconds: drainSeconds }, 'draining')
      stop(drainSeconds * 1000, exitCodes.stopped)
    } else if (performance.now() - stoppingSince > sameSignalMs) {
      log.error({ signal }, 'a second signal: stopping at once')
      process.exit(exitCodes.failed)
    }
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('SIGHUP', () => log.warn('SIGHUP is ignored: this version reads the policy at start only'))
  process.on('uncaughtException', err => {
    log.fatal({ err }, 'stopping after an unexpected error')
    if (stoppingSince === undefined) stop(0, exitCodes.failed)
    else process.exit(exitCodes.failed)
  })
}
