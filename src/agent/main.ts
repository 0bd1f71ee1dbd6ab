import { once } from 'node:events'
import type { Environment } from '../environment.ts'
import { codeOf, FaultsError, messageOf } from '../errors.ts'
import { exitCodes, listen, StartError, stopOnSignal } from '../main.ts'
import { readCredential } from '../outbound/workload-credential.ts'
import { readOrMakeSecret } from '../outbound/secret-file.ts'
import { bufferedOutput } from '../telemetry/output.ts'
import type { Service } from '../wire.ts'
import { readFlags, type AgentSettings } from './settings.ts'
import { closeToOthers, removeStaleSocket } from './socket.ts'
import { wireAgent } from './wire.ts'

/** The text of `token-broker agent --help`. */
export const agentHelp = `token-broker agent: hands a workload outside Azure the tokens that a central broker grants it

Usage: token-broker agent --broker URL --tenant NAME --token-file FILE [options]

It listens on loopback, or on a Unix socket, and speaks the identity protocol of App Service (/identity/token) and
POST /tokens to whoever holds its local secret. It prints the variables to set for the workload.

Options:
  --broker URL          the central broker: https, or http on loopback
  --tenant NAME         the tenant whose tokens there are: its id, or its name in the broker's policy
  --token-file FILE     the workload's own token; read for every request to the broker, so it may rotate
  --api-key-file FILE   an API key in the place of a token
  --cert FILE           a client certificate (PEM), alone or beside one of the two ...
  --key FILE            ... and its key
  --ca-file FILE        certificates (PEM) to trust for the broker instead of the system's
  --host ADDRESS        a loopback address (default 127.0.0.1)
  --port PORT           default 8081; 0 lets the system choose
  --socket PATH         a Unix socket in the place of an address; SDKs cannot use it
  --secret-file FILE    the local secret: read, or made with 256 bits and mode 0600
                        (default: token-broker-agent.secret in RUNTIME_DIRECTORY or XDG_RUNTIME_DIR)
  --metadata            speak the metadata protocol of virtual machines too; it carries no secret, so that every process
                        on this host gets tokens
  --revalidate SECONDS  ask the broker at least so often whether a token may still be handed out (default 300)
  --log-level LEVEL     trace, debug, info (default), warn, error, fatal
  --help                show this text
`

/**
 * Runs the agent until a signal stops it.
 * @throws StartError when it cannot start
 */
export async function agent(args: readonly string[], environment: Environment): Promise<void> {
  const settings = read(args, environment)
  const secret = await readOrMakeSecret(settings.secretFile, '--secret-file').catch(asStartError)
  const sink = bufferedOutput(1)
  process.on('exit', sink.flush)
  const service = wireAgent(settings, secret, sink)
  const address = await listenLocally(service, settings)
  await warnOfUnusable(service, settings)
  await print(environmentLines(settings, address))
  stopOnSignal(service, { drainSeconds: 0 })
  await service.warmUp()
  if (service.isReady()) service.log.info('ready')
}

function read(args: readonly string[], environment: Environment): AgentSettings {
  try {
    return readFlags(args, environment)
  } catch (thrown) {
    if (!(codeOf(thrown)?.startsWith('ERR_PARSE_ARGS_') ?? false)) return asStartError(thrown)
    throw new StartError(`${messageOf(thrown)}\nTry: token-broker agent --help`, exitCodes.usage)
  }
}

function asStartError(thrown: unknown): never {
  if (thrown instanceof FaultsError) throw new StartError(thrown.message, exitCodes.configuration)
  throw thrown
}

/** @returns the port, where there is one */
async function listenLocally({ app }: Service, { listen: where }: AgentSettings): Promise<number | undefined> {
  if (!('socket' in where)) {
    await listen(app, { ...where, hostName: '--host', portName: '--port' })
    const address = app.server.address()
    return typeof address === 'object' ? address?.port : undefined
  }
  try {
    await removeStaleSocket(where.socket)
    await app.listen({ path: where.socket, listenTextResolver: address => `listening at ${address}` })
    await closeToOthers(where.socket)
  } catch (thrown) {
    throw new StartError(`Cannot listen at --socket: ${messageOf(thrown)}`, exitCodes.listen)
  }
  return undefined
}

/** Files of the credential may come later, as a projected token does; that they are not there now is told at once. */
async function warnOfUnusable({ log }: Service, { credential }: AgentSettings): Promise<void> {
  await readCredential(credential).catch((err: unknown) =>
    log.warn({ err }, "the workload's credential is not there yet"),
  )
}

/** What to set for the workload. The secret itself is not printed: its file says it. */
export function environmentLines({ listen: where, secretFile, metadata }: AgentSettings, port = 0): readonly string[] {
  const secret = `"$(cat ${quote(secretFile)})"`
  if ('socket' in where) {
    return [
      '# SDKs need a port; ask over the socket with:',
      `# curl --unix-socket ${quote(where.socket)} -H "authorization: Bearer "${secret} http://localhost/tokens ...`,
    ]
  }
  const origin = `http://${where.host.includes(':') ? `[${where.host}]` : where.host}:${port}`
  return [
    `export IDENTITY_ENDPOINT=${origin}/identity/token`,
    `export IDENTITY_HEADER=${secret}`,
    ...(metadata ? [`export AZURE_POD_IDENTITY_AUTHORITY_HOST=${origin}  # instead of the two above`] : []),
  ]
}

/** A word for a shell. */
const quote = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

async function print(lines: readonly string[]): Promise<void> {
  if (!process.stdout.write(`${lines.join('\n')}\n`)) await once(process.stdout, 'drain')
}
