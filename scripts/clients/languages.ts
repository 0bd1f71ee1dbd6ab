import { join } from 'node:path'
import { endpoints, type Endpoint } from './token-endpoints.ts'
import type { World } from './world.ts'

/** A command line, without a shell. */
export type Command = readonly [program: string, ...args: string[]]

/** One example program. */
export interface Program {
  readonly client: string
  readonly endpoint: Endpoint
  readonly command: Command
  /** The requests that it may make at most to get a token, if that is more than for other clients. */
  readonly mostRequests?: number
  /** What it prints of a refusal and of an outage, if it prints no text of the broker. */
  readonly error?: RegExp
}

/** A language whose examples are run. */
export interface Language {
  readonly name: string
  /** Commands that must succeed. Otherwise the language is skipped. */
  readonly toolchain: readonly Command[]
  /** The folder above `source`, from the root; default `examples`. */
  readonly from?: string
  /** The folder of its programs. A copy of it is built. */
  readonly source: string
  /** Commands that install and build, run in the copy. */
  readonly build: readonly Command[]
  /** Environment variables for `build`, besides those of this process. `folder` has the copies. */
  readonly buildEnvironment?: (folder: string) => Readonly<Record<string, string>>
  /** Environment variables that make its programs trust the broker's CA. */
  readonly trust: (world: World) => Readonly<Record<string, string>>
  readonly programs: readonly Program[]
}

/** The JVM's trust store, in the copy. It is created for each run. */
export const truststoreName = 'truststore.p12'

const curl: Language = {
  name: 'curl',
  toolchain: [['curl', '--version']],
  source: 'curl',
  build: [],
  trust: ({ caFile: ca }) => ({ CURL_CA_BUNDLE: ca }),
  programs: [
    { client: 'curl', endpoint: endpoints.tokens, command: ['./tokens.sh'] },
    { client: 'curl, client credentials', endpoint: endpoints.oauth, command: ['./client-credentials.sh'] },
    { client: 'curl, token exchange', endpoint: endpoints.oauth, command: ['./token-exchange.sh'] },
    { client: 'curl', endpoint: endpoints.identity, command: ['./identity.sh'] },
    { client: 'curl', endpoint: endpoints.agent, command: ['./identity.sh'] },
  ],
}

const typescript: Language = {
  name: 'TypeScript',
  toolchain: [['npm', '--version']],
  source: 'typescript',
  build: [['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund']],
  trust: ({ caFile: ca }) => ({ NODE_EXTRA_CA_CERTS: ca }),
  programs: [
    { client: 'ManagedIdentityCredential', endpoint: endpoints.identity, command: runNode('managed-identity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.agent, command: runNode('managed-identity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.metadata, command: runNode('managed-identity') },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.proxy, command: runNode('workload-identity') },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.authority, command: runNode('workload-identity') },
    { client: 'ClientAssertionCredential', endpoint: endpoints.assertion, command: runNode('client-assertion') },
    { client: 'openid-client', endpoint: endpoints.oauth, command: runNode('oauth') },
    { client: 'ten lines', endpoint: endpoints.tokens, command: runNode('token-credential') },
  ],
}

const python: Language = {
  name: 'Python',
  toolchain: [['python3', '-c', 'import venv, sys; assert sys.version_info >= (3, 9)']],
  source: 'python',
  build: [
    ['python3', '-m', 'venv', '.venv'],
    ['.venv/bin/pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'],
  ],
  trust: ({ caFile: ca }) => ({ REQUESTS_CA_BUNDLE: ca }),
  programs: [
    { client: 'ManagedIdentityCredential', endpoint: endpoints.identity, command: runPython('managed_identity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.agent, command: runPython('managed_identity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.metadata, command: runPython('managed_identity') },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.proxy, command: runPython('workload_identity') },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.authority, command: runPython('workload_identity') },
    { client: 'ClientAssertionCredential', endpoint: endpoints.assertion, command: runPython('client_assertion') },
    { client: 'EnvironmentCredential', endpoint: endpoints.secret, command: runPython('client_secret') },
    { client: 'Authlib', endpoint: endpoints.oauth, command: runPython('oauth') },
    { client: 'requests-oauthlib', endpoint: endpoints.assertion, command: runPython('requests_oauth') },
    { client: 'adal', endpoint: endpoints.v1, command: runPython('older_secret') },
    { client: 'msrestazure', endpoint: endpoints.identity2017, command: runPython('older_identity') },
    { client: 'msrestazure', endpoint: endpoints.agent2017, command: runPython('older_identity') },
    { client: 'ten lines', endpoint: endpoints.tokens, command: runPython('token_credential') },
  ],
}

const go: Language = {
  name: 'Go',
  toolchain: [['go', 'version']],
  source: 'go',
  build: [['go', 'build', '-o', 'bin/', './...']],
  trust: ({ caFile: ca }) => ({ SSL_CERT_FILE: ca }),
  programs: [
    { client: 'ManagedIdentityCredential', endpoint: endpoints.identity, command: ['bin/managed-identity'] },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.agent, command: ['bin/managed-identity'] },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.authority, command: ['bin/workload-identity'] },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.proxyOfAuthority, command: ['bin/workload-identity'] },
    { client: 'ClientAssertionCredential', endpoint: endpoints.assertion, command: ['bin/client-assertion'] },
    { client: 'golang.org/x/oauth2', endpoint: endpoints.oauth, command: ['bin/oauth'] },
  ],
}

const java = (folder: string, { caFile }: World): Language => ({
  name: 'Java',
  toolchain: [
    ['java', '-version'],
    ['mvn', '--version'],
  ],
  source: 'java',
  build: [
    ['mvn', '--batch-mode', '--quiet', `-Dmaven.repo.local=${join(folder, 'maven')}`, 'package'],
    keytool('-importcert', '-noprompt', '-alias', 'broker', '-file', caFile, '-keystore', truststore(folder)),
  ],
  trust: () => ({}),
  programs: [
    { client: 'ManagedIdentityCredential', endpoint: endpoints.identity, command: runJava(folder, 'ManagedIdentity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.agent, command: runJava(folder, 'ManagedIdentity') },
    { client: 'ManagedIdentityCredential', endpoint: endpoints.metadata, command: runJava(folder, 'ManagedIdentity') },
    { client: 'WorkloadIdentityCredential', endpoint: endpoints.proxy, command: runJava(folder, 'WorkloadIdentity') },
    {
      client: 'WorkloadIdentityCredential',
      endpoint: endpoints.authority,
      command: runJava(folder, 'WorkloadIdentity'),
    },
    { client: 'ClientAssertionCredential', endpoint: endpoints.assertion, command: runJava(folder, 'ClientAssertion') },
  ],
})

const mcp: Language = {
  name: 'MCP',
  toolchain: [['npm', '--version']],
  source: 'mcp',
  build: [['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund']],
  trust: ({ caFile: ca }) => ({ NODE_EXTRA_CA_CERTS: ca }),
  programs: [{ client: 'MCP server, oauth4webapi', endpoint: endpoints.mcp, command: runNode('client') }],
}

/** All languages, with commands for copies in `folder`. */
export const languages = (folder: string, world: World): readonly Language[] => [
  curl,
  typescript,
  python,
  go,
  java(folder, world),
  mcp,
]

/** The names of all languages, in order. */
export const languageNames = ['curl', 'TypeScript', 'Python', 'Go', 'Java', 'MCP'] as const

const truststore = (folder: string) => join(folder, 'java', truststoreName)

/** Changes the trust store that the Java programs use. */
function keytool(...args: readonly string[]): Command {
  return ['keytool', ...args, '-storetype', 'PKCS12', '-storepass', 'changeit']
}

function runNode(name: string): Command {
  return [process.execPath, `${name}.ts`]
}

function runPython(name: string): Command {
  return ['.venv/bin/python', `${name}.py`]
}

function runJava(folder: string, name: string): Command {
  const trusted = [`-Djavax.net.ssl.trustStore=${truststore(folder)}`, '-Djavax.net.ssl.trustStorePassword=changeit']
  return ['java', ...trusted, '-cp', 'target/classes:target/dependency/*', `example.${name}`]
}
