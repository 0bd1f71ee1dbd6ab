import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmulator, type Emulator } from '../emulator/emulator.ts'
import { sample } from '../emulator/options.ts'
import { nodeFlags } from '../scripts/node-flags.ts'
import { createClient, type Client } from './fleet-load.ts'
import { freePort } from './world.ts'

/** Several broker processes, one emulator of Entra, and one Redis. */
export interface Fleet {
  readonly emulator: Emulator
  /** One for each replica. */
  readonly urls: readonly string[]
  readonly client: Client
  readonly replicas: readonly Replica[]
  /** `DELETE /tokens?tenant=` at one replica: the response's `replicas`. */
  readonly purge: (replica: number, tenant: string) => Promise<string>
  /** Tenants that no request has named so far. */
  readonly unused: Iterator<string>
  /** Exchanges that the emulator has counted for these tenants. */
  readonly exchanges: (tenants: readonly string[]) => number
  readonly close: () => Promise<void>
}

/** One broker process. */
export interface Replica {
  readonly url: string
  readonly process: ChildProcess
  readonly keyFile: string
  /** Resident memory in bytes. */
  readonly residentBytes: () => Promise<number>
}

/** How a fleet starts. */
export interface FleetOptions {
  /** The bundled broker. */
  readonly program: string
  readonly replicas: number
  /** Absent: the replicas share nothing. */
  readonly redisUrl?: string
  /** Milliseconds that an exchange takes. */
  readonly latencyMs: number
  /** Seconds of a token's life, and until it is due. */
  readonly expiresIn: number
  readonly refreshIn: number
}

const tenantCount = 5000
const startWithinMs = 60_000
/** The scope of all keys. */
export const scope = 'https://graph.microsoft.com/.default'
const tenantOf = (nth: number): string => `40000000-0000-4000-8000-${String(nth).padStart(12, '0')}`

/** A line of a key ring. */
export const newKeyLine = (kid: string): string => `${kid}:${randomBytes(32).toString('base64')}\n`

const policyText = (emulator: Emulator): string => `
applications: { default: ${sample.application} }
issuers: { emulator: { issuer: "${emulator.callerIssuer}", audiences: [token-broker] } }
rules:
  - { name: bench, callers: [{ issuer: emulator, subject: bench }], tenants: "*", scopes: ["${scope}"] }
  - { name: purge, callers: [{ issuer: emulator, subject: bench }], permissions: [purge, observe] }
`

/** Starts a fleet, and waits until every replica is ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { latencyMs, expiresIn, refreshIn } = options
  const all = Array.from({ length: tenantCount }, (_, nth) => tenantOf(nth))
  const emulator = await startEmulator({ tenants: all.map(id => ({ id })) })
  emulator.configure({ expiresIn, refreshIn, latency: { token: latencyMs } })
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-fleet-'))
  const environment = await writeFiles(emulator, folder)
  const keys = newKeyLine('a')
  const starting = Array.from({ length: options.replicas }, (_, nth) =>
    startReplica(options, { folder, environment, keys, nth }),
  )
  const replicas = await Promise.all(starting)
  const authorization = `Bearer ${await emulator.mintCallerToken({ sub: 'bench' }, { expiresIn: 86_400 })}`
  const client = createClient(authorization, scope)
  const urls = replicas.map(({ url }) => url)
  return {
    emulator,
    urls,
    client,
    replicas,
    unused: all.values(),
    exchanges: tenants => {
      const counted = emulator.counts().tenants
      return tenants.reduce((sum, tenant) => sum + (counted[tenant]?.total ?? 0), 0)
    },
    purge: async (replica, tenant) => {
      const response = await fetch(`${urls[replica]}/tokens?tenant=${tenant}`, {
        method: 'DELETE',
        headers: { authorization },
      })
      return String(((await response.json()) as { readonly replicas?: unknown }).replicas)
    },
    close: async () => {
      client.close()
      await Promise.all(replicas.map(stop))
      await emulator.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function writeFiles(emulator: Emulator, folder: string): Promise<Readonly<Record<string, string>>> {
  const [policyFile, caFile] = [join(folder, 'policy.yaml'), join(folder, 'ca.pem')]
  await writeFile(policyFile, policyText(emulator))
  await writeFile(caFile, emulator.caPem)
  return {
    PATH: process.env['PATH'] ?? '',
    ...emulator.environment(),
    HOST: '127.0.0.1',
    BROKER_POLICY_FILE: policyFile,
    BROKER_DRAIN_SECONDS: '0',
    BROKER_AUDIT: 'summary',
    NODE_EXTRA_CA_CERTS: caFile,
  }
}

interface Start {
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
  readonly keys: string
  readonly nth: number
}

async function startReplica(options: FleetOptions, { folder, environment, keys, nth }: Start): Promise<Replica> {
  const keyFile = join(folder, `keys-${nth}`)
  await writeFile(keyFile, keys, { mode: 0o600 })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const redis = options.redisUrl && { BROKER_REDIS_URL: options.redisUrl, BROKER_CACHE_KEY_FILE: keyFile }
  const child = spawn(process.execPath, [...nodeFlags, options.program, 'serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...environment, ...redis, PORT: String(port) },
  })
  for (const end = Date.now() + startWithinMs; child.exitCode === null; await sleep(20)) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    if (response?.ok) break
    if (Date.now() > end) throw new Error(`replica ${nth} is not ready`)
  }
  return { url, process: child, keyFile, residentBytes: () => residentBytes(child) }
}

/** Linux only. */
async function residentBytes({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

async function stop({ process: child }: Replica): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  await exited
}
