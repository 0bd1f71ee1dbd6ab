/**
 * `node scrape.ts SCOPE [SECONDS]`: runs Prometheus with a scrape target that requires a token of the broker, as
 * docs/clients.md says, and prints the token that the target received. With SECONDS, waits that long and prints the next
 * other one. If Prometheus gets no token, it prints the error that its page of targets shows.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../../../test/support/ports.ts'

const [scope = '', seconds] = process.argv.slice(2)
const { BROKER = '', TENANT = '', API_KEY_FILE = '', CA_FILE = '' } = process.env
const withinMs = 40_000

const received: string[] = []
const target = createServer((request, response) => {
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  if (token !== undefined && received.at(-1) !== token) received.push(token)
  response.setHeader('content-type', 'text/plain; version=0.0.4').end('up_to_date 1\n')
})

const configuration = (port: number): string => `scrape_configs:
  - job_name: api
    scrape_interval: 1s
    static_configs: [{ targets: ['127.0.0.1:${port}'] }]
    oauth2:
      client_id: prometheus
      client_secret_file: ${API_KEY_FILE}
      token_url: ${BROKER}/oauth2/token
      scopes: ['${scope}']
      endpoint_params: { tenant: ${TENANT} }
      tls_config: { ca_file: ${CA_FILE} }
`

/** The last error of the target, as `/targets` shows it; empty if there is none. */
async function lastError(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/targets`).catch(() => undefined)
  const body = response?.ok ? ((await response.json()) as Targets) : undefined
  return body?.data.activeTargets[0]?.lastError ?? ''
}

interface Targets {
  readonly data: { readonly activeTargets: readonly { readonly lastError: string }[] }
}

/** Waits for one more token than `had`, and prints the last. @throws Error with what Prometheus says */
async function printNext(had: number, prometheus: ChildProcess, port: number): Promise<void> {
  for (const end = Date.now() + withinMs; received.length <= had; await sleep(100)) {
    const error = await lastError(port)
    if (error !== '') throw new Error(error)
    if (Date.now() > end || prometheus.exitCode !== null) throw new Error('Prometheus scraped nothing')
  }
  process.stdout.write(`${received.at(-1)}\n`)
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-prometheus-'))
  const [targetPort, port] = [await freePort(), await freePort()]
  await new Promise<void>(resolve => target.listen(targetPort, '127.0.0.1', resolve))
  const file = join(folder, 'prometheus.yml')
  await writeFile(file, configuration(targetPort))
  const flags = [`--config.file=${file}`, `--storage.tsdb.path=${folder}`, `--web.listen-address=127.0.0.1:${port}`]
  const prometheus = spawn('prometheus', flags, { stdio: 'ignore' })
  const exited = new Promise(resolve => prometheus.once('close', resolve).once('error', resolve))
  try {
    await printNext(0, prometheus, port)
    if (seconds !== undefined) {
      await sleep(Number(seconds) * 1000)
      await printNext(1, prometheus, port)
    }
  } finally {
    prometheus.kill('SIGKILL')
    await exited
    target.close()
    target.closeAllConnections()
    await rm(folder, { recursive: true, force: true })
  }
}

await main().catch((thrown: unknown) => {
  process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  process.exitCode = 1
})
