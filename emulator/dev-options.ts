import { parseArgs } from 'node:util'
import { EnvironmentReader, type Environment } from '../src/config/environment.ts'
import { InvalidConfigurationError, messageOf } from '../src/errors.ts'
import { ExitError, exitCodes } from '../src/exit.ts'

/** The text of `npm run dev -- --help`. */
export const devHelp = `npm run dev: runs a broker on loopback with an emulator of Entra, and prints commands to try

Usage: npm run dev -- [options]

Options:
  --tls   serve https, with a certificate that is made at the start: most Azure SDKs require https
  --help  show this text

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
  const { help, tls } = parse(args)
  const read = new EnvironmentReader(environment)
  const port = read.integer('PORT', 8080, 0, 65_535)
  const managementPort = read.integer('MANAGEMENT_PORT', -1, 0, 65_535)
  if (managementPort === 0) read.addError('MANAGEMENT_PORT', 'must not be 0 here, because the port must be known')
  if (read.errors.length > 0) {
    const { message } = new InvalidConfigurationError('The settings are invalid', read.errors)
    throw new ExitError(message, exitCodes.configuration)
  }
  const host = read.text('MANAGEMENT_HOST') ?? '127.0.0.1'
  return { help, tls, port, probes: managementPort === -1 ? undefined : { host, port: managementPort } }
}

function parse(args: readonly string[]): Pick<DevOptions, 'help' | 'tls'> {
  try {
    const options = { tls: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const
    const { values } = parseArgs({ args: [...args], options })
    return { help: values.help === true, tls: values.tls === true }
  } catch (thrown) {
    const what = messageOf(thrown).split('. To specify')[0]
    throw new ExitError(`${what}\nTry: npm run dev -- --help`, exitCodes.usage)
  }
}
