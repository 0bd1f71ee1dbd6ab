import type { Environment } from '../config/environment.ts'
import { InvalidConfigurationError, messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { readCredential } from '../caller/workload-credential.ts'
import { readOrCreateSecret } from './secret-file.ts'
import { version } from '../service/package.ts'
import { listen, logAddresses, stopOnSignal } from '../service/process.ts'
import { bufferedOutput } from '../telemetry/output.ts'
import { readFlags, type AgentSettings } from './settings.ts'
import { restrictToOwner, removeStaleSocket } from './socket.ts'
import { wireAgent, type AgentService } from './wire.ts'

/**
 * Runs the agent. Resolves after the start; the agent then runs until a signal stops it.
 *
 * @param given its flags by name, without the dashes
 * @param handOverSignals called once the agent handles signals itself
 * @throws ExitError if it cannot start, with the exit code
 */
export async function agent(
  given: Parameters<typeof readFlags>[0],
  environment: Environment,
  handOverSignals: () => void,
): Promise<void> {
  const { settings, secret } = await readSettings(given, environment).catch(asExitError)
  const sink = bufferedOutput(1)
  process.on('exit', sink.flush)
  const service = await wireAgent(settings, secret, sink)
  const { log } = service
  log.info({ version, node: process.version, proxy: settings.proxy?.shownUrl }, 'starting')
  for (const warning of settings.warnings) log.warn({ source: 'environment' }, warning)
  // Without a handler, SIGHUP would end the process, and systemd would consider that a clean exit.
  process.on('SIGHUP', () => log.info('SIGHUP ignored: files are read at each use'))
  const address = await listenLocally(service, settings)
  await warnOfUnusable(service, settings)
  print(environmentLines(settings, address))
  stopOnSignal(service, { drainSeconds: 0 })
  handOverSignals()
  await service.warmUp()
  if (service.isReady()) log.info('ready')
}

async function readSettings(given: Parameters<typeof readFlags>[0], environment: Environment) {
  const settings = readFlags(given, environment)
  return { settings, secret: await readOrCreateSecret(settings.secretFile, '--secret-file') }
}

function asExitError(thrown: unknown): never {
  if (thrown instanceof InvalidConfigurationError) throw new ExitError(thrown.message, exitCodes.configuration)
  throw thrown
}

/** @returns the port; `undefined` with a Unix socket */
async function listenLocally(
  { app, log }: AgentService,
  { listen: where }: AgentSettings,
): Promise<number | undefined> {
  if (!('socket' in where)) {
    await listen(app, { ...where, hostName: '--host', portName: '--port' }, log)
    const address = app.server.address()
    return typeof address === 'object' ? address?.port : undefined
  }
  try {
    await removeStaleSocket(where.socket)
    await app.listen({ path: where.socket, ...logAddresses(log) })
    await restrictToOwner(where.socket)
  } catch (thrown) {
    throw new ExitError(`Cannot listen at --socket: ${messageOf(thrown)}`, exitCodes.listen)
  }
  return undefined
}

/**
 * The credential's files may appear later, as a projected token does. If they are missing now, the log says so at once.
 */
async function warnOfUnusable({ log }: AgentService, { credential }: AgentSettings): Promise<void> {
  await readCredential(credential).catch((err: unknown) =>
    log.warn({ err }, "the workload's credential cannot be read yet"),
  )
}

/** The variables to set for the workload. The secret itself is not printed, only the path of its file. */
function environmentLines(
  { listen: where, secretFile, metadata, sidecar }: AgentSettings,
  port = 0,
): readonly string[] {
  const secret = `"$(cat ${quote(secretFile)})"`
  if ('socket' in where) {
    return [
      '# SDKs need a port. Send requests over the socket with:',
      `# curl --unix-socket ${quote(where.socket)} -H "authorization: Bearer "${secret} http://localhost/tokens ...`,
    ]
  }
  const origin = `http://${where.host.includes(':') ? `[${where.host}]` : where.host}:${port}`
  return [
    `export IDENTITY_ENDPOINT=${origin}/identity/token`,
    `export IDENTITY_HEADER=${secret}`,
    ...(metadata ? [`export AZURE_POD_IDENTITY_AUTHORITY_HOST=${origin}  # instead of the two above`] : []),
    ...(sidecar ? [`export SIDECAR_URL=${origin}  # for Microsoft's Agents SDKs`] : []),
  ]
}

/** A text as one word of a shell. */
const quote = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** On stderr, as everything that is for people: stdout has the log's JSON lines only. */
function print(lines: readonly string[]): void {
  process.stderr.write(`${lines.join('\n')}\n`)
}
