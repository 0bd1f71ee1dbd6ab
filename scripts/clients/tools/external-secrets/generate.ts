import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'

/**
 * Runs bin/external-secrets with the generator of examples/external-secrets/webhook.yaml and its Secret, with the test's
 * broker, tenant, scope and API key. `min_expires_in` is left out: no token of the test lives so long. With a number of
 * seconds, waits that long and runs it again.
 *
 * node generate.ts SCOPE [SECONDS]
 */
const { BROKER = '', TENANT = '', API_KEY = '', PATH, SSL_CERT_FILE, HOME } = process.env
const [scope = '', seconds] = process.argv.slice(2)
const example = readFileSync(join(import.meta.dirname, '../../../../examples/external-secrets/webhook.yaml'), 'utf8')
const documents = parseAllDocuments(
  example
    .replace('https://broker.example', BROKER)
    .replace('"tenant": "contoso"', `"tenant": "${TENANT}"`)
    .replace('https://graph.microsoft.com/.default', scope)
    .replace(', "min_expires_in": 1800', ''),
).map(each => each.toJS() as Readonly<Record<string, unknown>>)
const documentOf = (kind: string) => documents.find(each => each['kind'] === kind)
// A cluster makes `data` of `stringData`.
const secret = { ...documentOf('Secret'), data: { key: Buffer.from(API_KEY).toString('base64') } }
const args = [documentOf('Webhook'), secret].map(each => JSON.stringify(each))

function generate(): void {
  try {
    execFileSync('bin/external-secrets', args, { env: { PATH, HOME, SSL_CERT_FILE }, stdio: 'inherit' })
  } catch {
    process.exitCode = 1
  }
}

generate()
if (seconds !== undefined) {
  await sleep(Number(seconds) * 1000)
  generate()
}
