import { join } from 'node:path'
import type { Language } from './languages.ts'
import { endpoints } from './token-endpoints.ts'

/**
 * Tools with an own way to get a token of Entra, each set up as docs/clients.md says. Each is run by a program in
 * `scripts/clients/tools`, because the tool itself prints no token, or needs several commands.
 */

const from = 'scripts/clients/tools'

const azureCli: Language = {
  name: 'azure-cli',
  toolchain: [['python3', '-c', 'import venv, sys; assert sys.version_info >= (3, 10)']],
  from,
  source: 'azure-cli',
  build: [
    ['python3', '-m', 'venv', '.venv'],
    ['.venv/bin/pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'],
    ['.venv/bin/pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', 'azure-cli==2.91.0'],
  ],
  trust: ({ caFile: ca }) => ({ REQUESTS_CA_BUNDLE: ca }),
  programs: [
    { client: 'az login', endpoint: endpoints.authority, command: ['./login.sh', 'federated-token'] },
    { client: 'az login --identity', endpoint: endpoints.identity, command: ['./login.sh', 'identity'] },
  ],
}

const kubelogin: Language = {
  name: 'kubelogin',
  toolchain: [['go', 'version']],
  from,
  source: 'kubelogin',
  build: [['go', 'install', 'github.com/Azure/kubelogin@v0.2.16']],
  buildEnvironment: folder => ({ GOBIN: join(folder, 'kubelogin', 'bin') }),
  trust: ({ caFile: ca }) => ({ SSL_CERT_FILE: ca }),
  programs: [
    { client: '--login workloadidentity', endpoint: endpoints.authority, command: ['./login.sh', 'workloadidentity'] },
    { client: '--login msi', endpoint: endpoints.identity, command: ['./login.sh', 'msi'] },
  ],
}

const argoCd = (root: string): Language => ({
  name: 'Argo-CD',
  toolchain: [['go', 'version']],
  from,
  source: 'argo-cd',
  build: [['go', 'build', '-o', 'bin/', './...']],
  trust: ({ caFile: ca }) => ({ SSL_CERT_FILE: ca }),
  programs: [
    {
      client: 'argocd-k8s-auth azure',
      endpoint: endpoints.argoCd,
      command: [process.execPath, join(root, from, 'argo-cd', 'cluster.ts')],
    },
  ],
})

/** Its generator `Webhook`, in a version of which the generator is part of the one Go module. */
const externalSecrets = (root: string): Language => ({
  name: 'External-Secrets',
  toolchain: [['go', 'version']],
  from,
  source: 'external-secrets',
  build: [['go', 'build', '-o', 'bin/', './...']],
  trust: ({ caFile: ca }) => ({ SSL_CERT_FILE: ca }),
  programs: [
    {
      client: 'generator Webhook',
      endpoint: endpoints.externalSecrets,
      command: [process.execPath, join(root, from, 'external-secrets', 'generate.ts')],
      error: /endpoint gave error (?:403 Forbidden|503 Service Unavailable)/,
    },
  ],
})

const terraform: Language = {
  name: 'Terraform',
  toolchain: [['go', 'version']],
  from,
  source: 'terraform',
  build: [['go', 'build', '-o', 'bin/', './...']],
  trust: () => ({}),
  programs: [{ client: "HashiCorp's authorizer", endpoint: endpoints.terraform, command: ['bin/terraform'] }],
}

const agentsSdk: Language = {
  name: 'agents-sdk',
  toolchain: [['python3', '-c', 'import venv, sys; assert sys.version_info >= (3, 10)']],
  from,
  source: 'agents-sdk',
  build: [
    ['python3', '-m', 'venv', '.venv'],
    ['.venv/bin/pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'],
  ],
  trust: () => ({}),
  programs: [
    {
      client: "Microsoft's Agents SDK",
      endpoint: endpoints.sidecar,
      command: ['.venv/bin/python', 'show_token.py'],
    },
  ],
}

const prometheus = (root: string): Language => ({
  name: 'Prometheus',
  toolchain: [['prometheus', '--version']],
  from,
  source: 'prometheus',
  build: [],
  trust: ({ caFile: ca }) => ({ CA_FILE: ca }),
  programs: [
    {
      client: 'scrape with oauth2',
      endpoint: endpoints.apiKey,
      command: [process.execPath, join(root, from, 'prometheus', 'scrape.ts')],
      // It scrapes each second, and the tokens live too short to be used twice.
      mostRequests: 30,
    },
  ],
})

/** All tools, for the clone in `root`. */
export const tools = (root: string): readonly Language[] => [
  azureCli,
  kubelogin,
  argoCd(root),
  externalSecrets(root),
  terraform,
  agentsSdk,
  prometheus(root),
]

/** The names of all tools, in order. */
export const toolNames = [
  'azure-cli',
  'kubelogin',
  'Argo-CD',
  'External-Secrets',
  'Terraform',
  'agents-sdk',
  'Prometheus',
] as const
