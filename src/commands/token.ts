import { requestToken } from '../caller/request-token.ts'
import { curlLine, textOfToken } from '../caller/token-outputs.ts'
import { readTokenSettings, tokenOutputs, type TokenSettings } from '../caller/token-settings.ts'
import { exitCodes } from '../exit.ts'
import type { Command, Input, Option } from './command.ts'
import { asExit } from './policy-files.ts'

const text = (value: string, help: string): Option => ({ type: 'string', value, help })

/** `token-broker token`: requests one token as a caller does, and prints it. */
export const tokenCommand: Command = {
  name: 'token',
  takes: [],
  about:
    'request a token from a broker as a caller does, and print it. Standard output has the token\n' +
    'alone; a refusal is printed on standard error. Required are --broker, --tenant, --scope, and one credential:\n' +
    '--token-file, --api-key-file, --managed-identity or --cert.\n' +
    'Example: token-broker token --broker https://broker.example --tenant contoso \\\n' +
    '           --scope https://graph.microsoft.com/.default --token-file /run/token',
  options: {
    broker: text('URL', 'the URL of the broker: https, or http on loopback'),
    tenant: text('NAME', "the tenant: its id, or its name in the broker's policy"),
    scope: text('SCOPE', "<resource>/.default, or a scope's name in the broker's policy"),
    application: text('NAME', 'the application, by its name or its client id; default "default"'),
    agent: text('NAME', 'an agent identity of Entra in place of an application, by its name or its client id'),
    'token-file': text('FILE', "the caller's own token, such as a projected service-account token"),
    'api-key-file': text('FILE', 'an API key instead of a token'),
    'managed-identity': {
      type: 'boolean',
      help: "the caller's own managed identity instead of a file, on Container Apps and App Service; needs --audience",
    },
    audience: text('URI', "with --managed-identity: the broker's API, such as api://<client id>"),
    'client-id': text('ID', 'with --managed-identity: the user-assigned identity; default the system-assigned one'),
    cert: text('FILE', 'a client certificate (PEM), alone or in addition to another credential'),
    key: text('FILE', 'the private key of the certificate (PEM)'),
    'ca-file': text('FILE', "certificates (PEM) to trust for the broker instead of the system's"),
    output: text(
      'FORMAT',
      `${tokenOutputs.join(', ')}; default token. json has the fields of POST /tokens, summary all but the token, azure-cli those of "az account ` +
        'get-access-token", exec-credential is for kubectl, and terraform for its data source "external". curl prints a shell command that sends the request, ' +
        'without the credential, and sends nothing itself',
    ),
  },
  exits: [
    [exitCodes.stopped, 'the token, its summary or the curl command was printed'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.configuration, 'the flags are invalid, all errors are listed; or the credential is unavailable'],
    [exitCodes.refused, 'the broker refused the request, or its response is unusable'],
    [exitCodes.unavailable, 'the broker is unreachable or cannot issue the token now; a later attempt may succeed'],
  ],
  printsCredential: true,
  run: async ({ options, environment, out, now }) => {
    const settings = settingsOf(options, environment)
    const { output } = settings
    out(
      output === 'curl'
        ? curlLine(settings)
        : textOfToken(output, settings.requested, await requestToken(settings), now()),
    )
    return exitCodes.stopped
  },
}

function settingsOf(options: Input['options'], environment: Input['environment']): TokenSettings {
  try {
    return readTokenSettings(options, environment)
  } catch (thrown) {
    return asExit(thrown)
  }
}
