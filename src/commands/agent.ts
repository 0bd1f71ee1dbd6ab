import { agent } from '../agent/main.ts'
import { exitCodes } from '../exit.ts'
import type { Command, Option } from './command.ts'

const text = (value: string, help: string): Option => ({ type: 'string', value, help })

/** `token-broker agent`: runs until it is stopped. */
export const agentCommand: Command = {
  name: 'agent',
  takes: [],
  about:
    'hand a workload outside Azure the tokens that a central broker grants it. It listens on loopback,\n' +
    'or on a Unix socket, and speaks the identity protocol of App Service (/identity/token) and POST /tokens\n' +
    'to whoever holds its local secret. It prints the variables to set for the workload. Needed are --broker,\n' +
    '--tenant, and --token-file, --api-key-file or --cert.',
  options: {
    broker: text('URL', 'the central broker: https, or http on loopback'),
    tenant: text('NAME', "the tenant whose tokens there are: its id, or its name in the broker's policy"),
    'token-file': text('FILE', "the workload's own token; read for every request to the broker, so it may rotate"),
    'api-key-file': text('FILE', 'an API key in the place of a token'),
    cert: text('FILE', 'a client certificate (PEM), alone or beside one of the two ...'),
    key: text('FILE', '... and its key'),
    'ca-file': text('FILE', "certificates (PEM) to trust for the broker instead of the system's"),
    host: text('ADDRESS', 'a loopback address; 127.0.0.1'),
    port: text('PORT', '8081; 0 lets the system choose'),
    socket: text('PATH', 'a Unix socket in the place of an address; SDKs cannot use it'),
    'secret-file': text(
      'FILE',
      'the local secret: read, or made with 256 bits and mode 0600; token-broker-agent.secret in RUNTIME_DIRECTORY ' +
        'or XDG_RUNTIME_DIR',
    ),
    metadata: {
      type: 'boolean',
      help:
        'speak the metadata protocol of virtual machines too: it carries no secret, so that every process on this ' +
        'host gets tokens',
    },
    revalidate: text('SECONDS', 'ask the broker at least so often whether a token may still be handed out; 300'),
    'log-level': text('LEVEL', 'trace, debug, info, warn, error, fatal; info'),
  },
  exits: [
    [exitCodes.stopped, 'stopped by a signal, everything answered'],
    [exitCodes.failed, 'stopped by an unexpected error, by a second signal, or before everything was answered'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.configuration, 'the flags are faulty; every fault is listed'],
    [exitCodes.listen, 'the address, port or socket to listen on cannot be had'],
  ],
  run: async ({ options, environment, handOverSignals }) => {
    await agent(options, environment, handOverSignals)
    return exitCodes.stopped
  },
}
