import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { codeOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import type { Logs } from '../telemetry/log.ts'

/** What the broker and its agents do alike as processes: they listen, and a signal stops them. */

/** An address to listen on, and the names of the settings that say so. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly hostName: string
  readonly portName: string
}

/** @throws ExitError when the address cannot be had */
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
    throw new ExitError(`Cannot listen on ${host}: ${message}.`, exitCodes.listen)
  }
}

/** Whatever a signal can stop. */
export interface Stoppable {
  readonly log: Logs['log']
  readonly drain: () => void
  readonly close: () => Promise<void>
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
      log.error({ signal }, 'a second signal: stopping at once')
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
