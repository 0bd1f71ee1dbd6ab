import { escapeControls } from '../broker/lib/text/quoted.ts'
import type { OwnIdentity, TokenOutput, TokenSettings } from './token-settings.ts'
import { readClaims } from '../broker/tokens/verify-token.ts'
import { bodyOf, tokensPath, type ReceivedToken, type RequestedToken } from './tokens-request.ts'

/**
 * A token as text for standard output, with a line break at its end:
 *
 * - `token`: the token alone
 * - `json`: fields of `POST /tokens`; `expires_on` is by this machine's clock
 * - `summary`: the same fields without the token, and its `roles` if it is a readable JWT, for logs
 * - `azure-cli`: what `az account get-access-token --tenant …` prints; `expiresOn` is in this machine's time zone
 * - `exec-credential`: what `kubectl` and client-go read (client.authentication.k8s.io/v1,
 *   https://kubernetes.io/docs/reference/config-api/client-authentication.v1/)
 * - `terraform`: the fields of `json` as texts, which the data source `external` requires
 *
 * @param now milliseconds since 1970
 */
export function textOfToken(
  output: Exclude<TokenOutput, 'curl'>,
  requested: RequestedToken,
  received: ReceivedToken,
  now: number,
): string {
  if (output === 'token') return `${received.token}\n`
  const expiresOn = Math.floor(now / 1000) + received.expiresIn
  const { [output]: write } = {
    json: fields,
    summary: summaryWithRoles,
    'azure-cli': azureCli,
    'exec-credential': execCredential,
    terraform: texts,
  }
  return `${escapeControls(JSON.stringify(write(requested, received, expiresOn), undefined, 2))}\n`
}

type Write = (requested: RequestedToken, received: ReceivedToken, expiresOn: number) => unknown

const summary = ({ tenant, scope, application }: RequestedToken, received: ReceivedToken, expiresOn: number) => ({
  token_type: 'Bearer',
  expires_in: received.expiresIn,
  expires_on: expiresOn,
  refresh_in: received.refreshIn,
  tenant: received.tenant ?? tenant,
  scope,
  application,
})

const fields: Write = (requested, received, expiresOn) => ({
  access_token: received.token,
  ...summary(requested, received, expiresOn),
})

/** For logs: a list of permissions is no credential. */
const summaryWithRoles: Write = (requested, received, expiresOn) => ({
  ...summary(requested, received, expiresOn),
  roles: readClaims(received.token)?.['roles'],
})

const azureCli: Write = ({ tenant }, received, expiresOn) => ({
  accessToken: received.token,
  expiresOn: localTime(new Date(expiresOn * 1000)),
  expires_on: expiresOn,
  tenant: received.tenant ?? tenant,
  tokenType: 'Bearer',
})

/** As Python prints it, which the Azure CLI does: `2026-01-31 09:05:00.000000`. */
function localTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  return `${date} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')}.000000`
}

const execCredential: Write = (_requested, { token }, expiresOn) => ({
  apiVersion: 'client.authentication.k8s.io/v1',
  kind: 'ExecCredential',
  status: { expirationTimestamp: new Date(expiresOn * 1000).toISOString().replace('.000', ''), token },
})

/** https://registry.terraform.io/providers/hashicorp/external/latest/docs/data-sources/external#external-program-protocol */
const texts: Write = (requested, received, expiresOn) =>
  Object.fromEntries(
    Object.entries({ access_token: received.token, ...summary(requested, received, expiresOn) }).flatMap(
      ([name, value]) => (value === undefined ? [] : [[name, String(value)]]),
    ),
  )

/**
 * A command line for a POSIX shell that sends the same request with curl. The credential is neither in it nor in the
 * arguments of a process, which every user of a machine can list: curl reads its headers from standard input.
 */
export function curlLine({ broker, requested, credential, identity }: TokenSettings): string {
  const { tokenFile, apiKeyFile, certificate, caFile } = credential
  const file = tokenFile ?? apiKeyFile
  const header = identity ? headerOfIdentity(identity) : file === undefined ? undefined : headerOfFile(file)
  const options = [
    ...(header === undefined ? [] : ['-H', '@-']),
    ...(caFile === undefined ? [] : ['--cacert', word(caFile)]),
    ...(certificate ? ['--cert', word(certificate.certFile), '--key', word(certificate.keyFile)] : []),
  ]
  const curl = ['curl', '-sS', '--fail-with-body', ...options, '-H', word('content-type: application/json')]
  const line = [...curl, '-d', word(bodyOf(requested)), word(new URL(tokensPath, broker).href)].join(' ')
  return `${header === undefined ? '' : `${header} |\n  `}${line}\n`
}

const headerOfFile = (file: string): string => `printf 'authorization: Bearer %s\\n' "$(cat < ${word(file)})"`

/** The identity's token goes from one curl to the next. */
function headerOfIdentity({ audience, clientId }: OwnIdentity): string {
  const query = new URLSearchParams({
    'api-version': '2019-08-01',
    resource: audience,
    ...(clientId !== undefined && { client_id: clientId }),
  })
  return [
    `printf 'x-identity-header: %s\\n' "$IDENTITY_HEADER"`,
    `  curl -sS --fail -H @- "$IDENTITY_ENDPOINT"${word(`?${query.toString()}`)}`,
    `  sed -n 's/.*"access_token" *: *"\\([^"]*\\)".*/authorization: Bearer \\1/p'`,
  ].join(' |\n')
}

/** A text as one word of a shell. */
const word = (text: string): string => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
