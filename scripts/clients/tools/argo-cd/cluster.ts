import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'

/**
 * Runs bin/argo-cd with the environment that Argo CD makes of a cluster's Secret, that of examples/argo-cd/cluster.yaml,
 * with the test's broker, tenant and API key. With a number of seconds, waits that long and runs it again.
 *
 * node cluster.ts SCOPE [SECONDS]
 */
const { BROKER = '', TENANT = '', API_KEY = '', PATH, SSL_CERT_FILE, HOME } = process.env
const [scope = '', seconds] = process.argv.slice(2)
const secret = parse(
  readFileSync(join(import.meta.dirname, '../../../../examples/argo-cd/cluster.yaml'), 'utf8'),
) as Readonly<Record<'stringData', { readonly config: string }>>
const { execProviderConfig } = JSON.parse(secret.stringData.config) as {
  readonly execProviderConfig: { readonly env: Readonly<Record<string, string>> }
}
const env = {
  ...execProviderConfig.env,
  AAD_SERVER_APPLICATION_ID: scope.replace(/\/\.default$/, ''),
  IDENTITY_ENDPOINT: (execProviderConfig.env['IDENTITY_ENDPOINT'] ?? '')
    .replace('https://broker.example', BROKER)
    .replace('contoso', TENANT),
  IDENTITY_HEADER: API_KEY,
}

function login(): void {
  try {
    execFileSync('bin/argo-cd', { env: { PATH, HOME, SSL_CERT_FILE, ...env }, stdio: 'inherit' })
  } catch {
    process.exitCode = 1
  }
}

login()
if (seconds !== undefined) {
  await sleep(Number(seconds) * 1000)
  login()
}
