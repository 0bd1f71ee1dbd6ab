import { trafficCallers } from './dev-traffic.ts'
import { sample } from './options.ts'

/** What the terminal text of `npm run dev` contains. */
export interface Welcome {
  /** The broker's origin. */
  readonly url: string
  /** The origin of its operations endpoints. */
  readonly operationsUrl: string
  /** The other brokers' origins, with `--replicas`. */
  readonly otherUrls: readonly string[]
  /** Whether the brokers share tokens through Redis. */
  readonly isShared: boolean
  /** The emulator's page. */
  readonly emulatorUrl: string
  /** An API key with the permissions `observe` and `purge`. */
  readonly dashboardKey: string
  /** Whether there is traffic, of which a part fails. */
  readonly faults: boolean
  /** The variables of the broker, for other commands of the command line. */
  readonly environmentFile: string
  /** A caller's token, and a file that contains it. */
  readonly token: string
  readonly tokenFile: string
  /** With https: a file with the broker's CA, and one with the CAs that this machine trusts too. */
  readonly trust: { readonly caFile: string; readonly bundleFile: string } | undefined
}

/** The variables that the examples and the docs use, as a shell would set them. */
export function variablesOf({ url, token, tokenFile, trust }: Welcome): Readonly<Record<string, string>> {
  return {
    BROKER: url,
    TENANT: 'contoso',
    CLIENT_ID: sample.application,
    TOKEN_FILE: tokenFile,
    MY_OWN_TOKEN: token,
    IDENTITY_ENDPOINT: `${url}/identity/contoso/token`,
    IDENTITY_HEADER: token,
    ...(trust && {
      AZURE_AUTHORITY_HOST: url,
      AZURE_TENANT_ID: sample.contoso,
      AZURE_CLIENT_ID: sample.application,
      AZURE_FEDERATED_TOKEN_FILE: tokenFile,
      // Node.js adds these CAs to its own. The others use this file alone.
      NODE_EXTRA_CA_CERTS: trust.caFile,
      REQUESTS_CA_BUNDLE: trust.bundleFile,
      SSL_CERT_FILE: trust.bundleFile,
      CURL_CA_BUNDLE: trust.bundleFile,
    }),
  }
}

/** A text as one word of a shell. */
const quote = (text: string): string => (/^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** Variables as lines that a shell reads. */
export const environmentText = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${quote(value)}\n`)
    .join('')

/** Lines that show what replicas share. Empty for one broker. */
function replicasText({ url, otherUrls, isShared, trust }: Welcome): string {
  if (otherUrls.length === 0) return ''
  const urls = [url, ...otherUrls].join(' ')
  if (!isShared)
    return `
The other brokers are at ${otherUrls.join(' and ')}. They share nothing, because neither redis-server nor
valkey-server is installed.
`
  const curl = `curl -s${trust === undefined ? '' : ` --cacert ${quote(trust.caFile)}`}`
  return `
The other brokers are at ${otherUrls.join(' and ')}. All share tokens through Redis.
They make one exchange for all of them. After the export lines, paste this line: the first response has "fwd=miss",
and the others have "token-broker-shared; hit" too:

for broker in ${urls}; do ${curl} -o /dev/null -D - $broker/tokens -H 'content-type: application/json' -H "authorization: Bearer $MY_OWN_TOKEN" -d '{"tenant":"fabrikam","scope":"https://graph.microsoft.com/.default"}' | grep -i cache-status; done

A purge that reaches all, with "replicas":"all" in the response; then the loop above begins with an exchange again:

${curl} -w '\\n' -X DELETE '${url}/tokens?tenant=fabrikam' -H "authorization: Bearer $MY_OWN_TOKEN"
`
}

/** What there is to see in the dashboard with `--faults`. */
function faultsText({ faults }: Welcome): string {
  if (!faults) return ''
  const [billing, reports] = trafficCallers
  return `
Two callers send requests until you stop this. ${billing.subject} gets tokens for ${billing.tenants.slice(0, -1).join(', ')}, but none for
${billing.tenants.at(-1)}, which has not consented. ${reports.subject} is denied. Tokens live for five minutes.
`
}

/** The text that `npm run dev` prints once the broker is ready. */
export function welcomeText(welcome: Welcome): string {
  const { url, operationsUrl, emulatorUrl, dashboardKey, token, trust } = welcome
  const exports = Object.entries(variablesOf(welcome)).map(([name, value]) => `export ${name}=${quote(value)}`)
  const ca = trust === undefined ? '' : ` --cacert ${quote(trust.caFile)}`
  return `
The broker is ready at ${url}. It uses an emulator of Entra, so you need no Azure account.
The warning about BROKER_UNSAFE_AUTHORITY above is expected here.

Open the dashboard at ${operationsUrl}/dashboard and sign in with this API key:

${dashboardKey}
${faultsText(welcome)}
To get an access token for the tenant contoso, paste this line into another terminal:

curl -s${ca} -w '\\n' ${url}/tokens -H 'content-type: application/json' -H 'authorization: Bearer ${token}' -d '{"tenant":"contoso","scope":"https://graph.microsoft.com/.default"}'

To run the examples, and the commands in README.md and docs, set their variables there. The token lives for 8 hours.

${exports.join('\n')}
${replicasText(welcome)}
What to try next:
- See an error: replace contoso by tailspin in the first line. That tenant has not consented to the application.
- Get a token of an agent identity: write "agent":"helper" into the first line, beside the tenant
- See the broker's state: curl -s "${operationsUrl === url ? '$BROKER' : operationsUrl}/health" -H "authorization: Bearer $MY_OWN_TOKEN"
  (or /cache/entries, or /metrics)
- Find out what is wrong with a tenant: (set -a; . ${quote(welcome.environmentFile)}; npm run token-broker -- doctor)
- Read about every endpoint: open ${operationsUrl}/docs
- See what the emulator received, and break it on purpose: open ${emulatorUrl}
- Run an example: examples/README.md${trust === undefined ? '\n- For SDKs that require https: npm run dev -- --tls' : ''}${welcome.otherUrls.length === 0 ? '\n- For replicas that share tokens: npm run dev -- --replicas 3' : ''}${welcome.faults ? '' : '\n- For traffic to look at: npm run dev -- --faults'}

Press Ctrl-C to stop the broker and the emulator.

`
}
