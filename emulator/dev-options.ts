import { parseArgs } from 'node:util'
import { EnvironmentReader, type Environment } from '../src/config/environment.ts'
import { InvalidConfigurationError, messageOf } from '../src/errors.ts'
import { ExitError, exitCodes } from '../src/exit.ts'

/** The text of `npm run dev -- --help`. */
export const devHelp = `npm run dev: runs a broker on loopback with an emulator of Entra, and prints commands to try

Usage: npm run dev -- [options]

Options:
  --tls         serve https, with a certificate that is made at the start: most Azure SDKs require https
  --replicas N  start N brokers, 1 to 9, on ports of their own. They share tokens through a redis-server that is started
                too, if it is installed
  --faults      send requests of two callers for four tenants, of which one has not consented; one caller is denied
  --help        show this text

Variables:
  PORT  the broker's port; default 8080; 0 chooses a free one
  Other settings of the broker are passed on, such as BROKER_AUDIT=summary. Those that the emulator decides are not:
  the policy, the authority, the identity, HOST and TLS_….

Exit codes:
  ${exitCodes.stopped}  stopped by a signal
  ${exitCodes.usage}  wrong usage of this command
  ${exitCodes.configuration}  a setting is invalid
  ${exitCodes.listen}  the port is unavailable
  Any other is the broker's own.
`

/** What `npm run dev` was started with. */
export interface DevOptions {
  readonly help: boolean
  /** Whether the broker serves https. */
  readonly tls: boolean
  /** Whether there is traffic, of which a part fails. */
  readonly faults: boolean
  /** The number of brokers. */
  readonly replicas: number
  /** The broker's port; 0 chooses a free one. */
  readonly port: number
  /** Where the broker's probes are: its own port, unless `MANAGEMENT_PORT` is set. */
  readonly probes: { readonly host: string; readonly port: number } | undefined
}

/**
 * Reads the arguments and the environment of `npm run dev`.
 * @throws ExitError with the exit code `usage` or `configuration`
 */
export function readDevOptions(args: readonly string[], environment: Environment): DevOptions {
  const { help, tls, replicas, faults } = parse(args)
  const read = new EnvironmentReader(environment)
  const port = read.integer('PORT', 8080, 0, 65_535)
  const managementPort = read.integer('MANAGEMENT_PORT', -1, 0, 65_535)
  if (managementPort === 0) read.addError('MANAGEMENT_PORT', 'must not be 0 here, because the port must be known')
  if (managementPort > 0 && replicas > 1) read.addError('MANAGEMENT_PORT', 'cannot be used with --replicas')
  if (read.errors.length > 0) {
    const { message } = new InvalidConfigurationError('The settings are invalid', read.errors)
    throw new ExitError(message, exitCodes.configuration)
  }
  const host = read.text('MANAGEMENT_HOST') ?? '127.0.0.1'
  return {
    help,
    tls,
    replicas,
    faults,
    port,
    probes: managementPort === -1 ? undefined : { host, port: managementPort },
  }
}

function parse(args: readonly string[]): Pick<DevOptions, 'help' | 'tls' | 'replicas' | 'faults'> {
  try {
    const options = {
      tls: { type: 'boolean' },
      faults: { type: 'boolean' },
      replicas: { type: 'string', default: '1' },
      help: { type: 'boolean', short: 'h' },
    } as const
    const { values } = parseArgs({ args: [...args], options })
    if (!/^[1-9]$/.test(values.replicas))
      throw new Error(`--replicas must be a whole number from 1 to 9; got "${values.replicas}"`)
    const { help = false, tls = false, faults = false } = values
    return { help, tls, faults, replicas: Number(values.replicas) }
  } catch (thrown) {
    const what = messageOf(thrown).split('. To specify')[0]
    throw new ExitError(`${what}\nTry: npm run dev -- --help`, exitCodes.usage)
  }
}
