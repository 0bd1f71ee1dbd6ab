import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { rulesFile } from '../contract/alert-rules.ts'
import { send, until, type Closing } from './broker.ts'
import { freePort } from './ports.ts'

const folders = [join(import.meta.dirname, '../../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
const program = folders.map(folder => join(folder, 'prometheus')).find(file => existsSync(file))

/** The `skip` option of a test: why Prometheus cannot run here, or `false`. */
export const withoutPrometheus = program === undefined && 'prometheus is neither in .tools/bin nor in PATH'

/** A rule as the API reports it. */
interface Rule {
  readonly name: string
  readonly health: string
  readonly lastError?: string
}

/** A series of an instant query. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [time: number, value: string]
}

/** A response of Prometheus' API. */
export interface Found {
  readonly status: string
  readonly error?: string
  readonly data?: {
    readonly result: readonly Series[]
    readonly groups: readonly { readonly rules: readonly Rule[] }[]
  }
}

/**
 * Starts Prometheus with the shipped rules. It scrapes and evaluates every second. Resolves to its API below `/api/v1/`.
 * @param scrape what it scrapes, as an entry of `scrape_configs`
 */
export async function startPrometheus(closing: Closing, scrape: object): Promise<(path: string) => Promise<Found>> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-prometheus-'))
  const configuration = join(folder, 'prometheus.yml')
  await writeFile(
    configuration,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [rulesFile],
      scrape_configs: [{ job_name: 'token-broker', ...scrape }],
    }),
  )
  const address = `127.0.0.1:${await freePort()}`
  const child: ChildProcess = spawn(
    program ?? 'prometheus',
    [
      `--config.file=${configuration}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  )
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  closing.after(async () => {
    child.kill('SIGKILL')
    await exited
    await rm(folder, { recursive: true, force: true })
  })
  await until('Prometheus is ready', async () => {
    assert.equal(child.exitCode, null, 'Prometheus ended')
    return send(`http://${address}/-/ready`).then(
      ({ status }) => status === 200,
      () => false,
    )
  })
  return async path => JSON.parse((await send(`http://${address}/api/v1/${path}`)).text) as Found
}
