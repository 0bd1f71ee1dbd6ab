import { agent } from '../agent/main.ts'
import { exitCodes } from '../exit.ts'
import type { Command, Option } from './command.ts'

const text = (value: string, help: string): Option => ({ type: 'string', value, help })

/** `token-broker agent`: runs until it is stopped. */
export const agentCommand: Command = {
  name: 'agent',
  takes: [],
  about:
    'serve a workload outside Azure the tokens that a central broker grants it. The agent listens on\n' +
    'loopback or on a Unix socket, and serves the identity protocol of App Service (/identity/token) and POST /tokens to\n' +
    'clients that present its local secret. It prints the variables to set for the workload. Required are --broker,\n' +
    '--tenant, and --token-file, --api-key-file or --cert.',
  options: {
    broker: text('URL', 'the URL of the central broker: https, or http on loopback'),
    tenant: text('NAME', "the tenant for which it gets tokens: its id, or its name in the broker's policy"),
    'token-file': text(
      'FILE',
      "the workload's own token; it may rotate, since it is read for every request to the broker",
    ),
    'api-key-file': text('FILE', 'an API key instead of a token'),
    cert: text('FILE', 'a client certificate (PEM), alone or in addition to a token or an API key'),
    key: text('FILE', 'the private key of the certificate (PEM)'),
    'ca-file': text('FILE', "certificates (PEM) to trust for the broker instead of the system's"),
    host: text('ADDRESS', 'a loopback address; default 127.0.0.1'),
    port: text('PORT', 'default 8081; 0 lets the system choose'),
    socket: text('PATH', 'a Unix socket instead of an address and port; SDKs cannot use it'),
    'secret-file': text(
      'FILE',
      'the file of the local secret; if it does not exist, it is created with 256 random bits and mode 0600; default ' +
        'token-broker-agent.secret in RUNTIME_DIRECTORY or XDG_RUNTIME_DIR',
    ),
    metadata: {
      type: 'boolean',
      help:
        'also serve the metadata protocol of virtual machines; its requests carry no secret, so every process on ' +
        'this host gets tokens',
    },
    sidecar: {
      type: 'boolean',
      help:
        'also serve the protocol of the Entra sidecar, which SDKs use with SIDECAR_URL; its requests without a user carry no ' +
        'secret, so every process on this host gets tokens',
    },
    revalidate: text(
      'SECONDS',
      'how often at least the broker must confirm that a cached token may still be served; default 300',
    ),
    'log-level': text('LEVEL', 'trace, debug, info, warn, error or fatal; default info'),
  },
  exits: [
    [exitCodes.stopped, 'stopped by a signal, after every request had its response'],
    [exitCodes.failed, 'stopped by an unexpected error, by a second signal, or before every request had its response'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.configuration, 'the flags are invalid; all errors are listed'],
    [exitCodes.listen, 'it cannot listen on the address, port or socket'],
  ],
  run: async ({ options, environment, handOverSignals }) => {
    await agent(options, environment, handOverSignals)
    return exitCodes.stopped
  },
}
