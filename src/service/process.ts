import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { codeOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import type { Logs } from '../telemetry/log.ts'

/** What the broker and the agent share as processes: they listen, and a signal stops them. */

/** An address to listen on, with the names of the settings that determine it. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly hostName: string
  readonly portName: string
}

/**
 * An option of `app.listen`: Fastify calls it for each address that it listens on, and the log gets a line for each. (Fastify
 * itself has no logger: with one, it adds two listeners to every response.)
 */
export const logAddresses = (log: Logs['log']) => ({
  listenTextResolver: (address: string): string => {
    const text = `listening at ${address}`
    log.info(text)
    return text
  },
})

/**
 * Starts to listen on an address, and logs it.
 * @throws ExitError with the exit code `listen` if that is not possible
 */
export async function listen(
  app: FastifyInstance,
  { host, port, hostName, portName }: Address,
  log: Logs['log'],
): Promise<void> {
  try {
    await app.listen({ host, port, ...logAddresses(log) })
  } catch (thrown) {
    const why: Record<string, string> = {
      EADDRINUSE: `port ${port} is already in use; stop the process that uses it, or set ${portName}`,
      EACCES: `this process has no permission to use port ${port}; set ${portName} to 1024 or more`,
      EADDRNOTAVAIL: `this machine does not have the address ${host}; correct ${hostName}`,
      ENOTFOUND: `the name ${host} has no address; correct ${hostName}`,
    }
    const message = why[codeOf(thrown) ?? '']
    if (message === undefined) throw thrown
    throw new ExitError(`Cannot listen on ${host}: ${message}.`, exitCodes.listen)
  }
}

/** A service that a signal can stop. */
export interface Stoppable {
  readonly log: Logs['log']
  readonly drain: () => void
  readonly close: () => Promise<void>
}

/**
 * npm forwards a signal that the terminal or `kill -- -pgid` has already sent to the whole process group. A signal
 * within this many milliseconds of the first counts as the same one.
 */
const sameSignalMs = 100

/**
 * Stops the service on SIGTERM or SIGINT. It becomes unready at once and serves for the drain time, so that a load
 * balancer that follows readiness loses no request. Then the listener closes, after the responses to the requests in
 * progress. A second signal ends the process at once. After an unexpected error, requests in progress still get their
 * responses, without the drain time; a second unexpected error ends the process at once.
 */
export function stopOnSignal(service: Stoppable, { drainSeconds }: { readonly drainSeconds: number }): void {
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
      log.error({ signal }, 'second signal: stopping immediately')
      process.exit(exitCodes.failed)
    }
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('uncaughtException', err => {
    log.fatal({ err }, 'stopping after an unexpected error')
    if (stoppingSince === undefined) stop(0, exitCodes.failed)
    else process.exit(exitCodes.failed)
  })
}
