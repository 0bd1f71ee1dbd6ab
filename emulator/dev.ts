import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { get as httpGet } from 'node:http'
import { get as httpsGet } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { getCACertificates } from 'node:tls'
import { encodeKey } from '../src/broker/authentication/api-keys.ts'
import { codeOf } from '../src/errors.ts'
import { ExitError, exitCodes } from '../src/exit.ts'
import { createAuthority } from './certificates.ts'
import { devPolicy, devTenants } from './dev-policy.ts'
import { driveTraffic } from './dev-traffic.ts'
import { devHelp, readDevOptions } from './dev-options.ts'
import { newKeyRing, startDevRedis, type DevRedis } from './dev-redis.ts'
import { environmentText, welcomeText } from './dev-welcome.ts'
import { startEmulator, type Emulator } from './emulator.ts'

/**
 * `npm run dev` runs the emulator in this process and the broker in another, or several of them, and prints commands to
 * try. It forwards signals to the brokers and ends when one of them ends, with the same exit code.
 */

/** Seconds. The welcome text says 8 hours. */
const callerTokenLife = 8 * 60 * 60
const startWithinMs = 60_000

/**
 * Checked before anything starts: otherwise another broker on this port could respond to the readiness check.
 * @param port 0 chooses a free one
 * @throws ExitError if the port is unavailable
 */
async function claimPort(port: number): Promise<number> {
  const probe = createServer()
  try {
    probe.listen(port, '127.0.0.1')
    await once(probe, 'listening')
    const address = probe.address()
    return typeof address === 'object' && address !== null ? address.port : port
  } catch (thrown) {
    const why = codeOf(thrown) === 'EACCES' ? 'this user has no permission to use it' : 'stop the program that uses it'
    throw new ExitError(
      `port ${port} is unavailable: ${why}, or run "PORT=0 npm run dev", which chooses a free one`,
      exitCodes.listen,
    )
  } finally {
    probe.close()
  }
}

/** Files of the broker, in a folder that is removed at the end. */
interface Files {
  readonly policyFile: string
  /** The emulator's CA, which the broker trusts. */
  readonly emulatorCaFile: string
  readonly tokenFile: string
  /** The key ring that replicas share. */
  readonly cacheKeyFile: string
  /** With `--tls`: the broker's own certificate, and its CA. */
  readonly tls: TlsFiles | undefined
}

interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
  readonly caPem: string
  readonly caFile: string
  readonly bundleFile: string
}

async function writeFiles(
  emulator: Emulator,
  token: string,
  policy: string,
  tls: boolean,
): Promise<Files & { folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-dev-'))
  const write = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content, { mode: 0o600 })
    return join(folder, name)
  }
  const policyFile = await write('policy.yaml', policy)
  // The broker waits a second for a file that was just written, in case it is not complete yet.
  await utimes(policyFile, 0, 0)
  return {
    folder,
    policyFile,
    emulatorCaFile: await write('emulator-ca.pem', emulator.caPem),
    tokenFile: await write('token', token),
    cacheKeyFile: await write('cache-keys', newKeyRing()),
    tls: tls ? await writeTlsFiles(write) : undefined,
  }
}

async function writeTlsFiles(write: (name: string, content: string) => Promise<string>): Promise<TlsFiles> {
  const authority = createAuthority('token-broker dev CA')
  const { certPem, keyPem } = authority.issue()
  const { caPem } = authority
  // With this file, pip, go and curl can still install packages in the same terminal.
  const trusted = [...getCACertificates('bundled'), ...getCACertificates('system'), caPem].map(pem => `${pem.trim()}\n`)
  return {
    certFile: await write('broker.pem', certPem),
    keyFile: await write('broker-key.pem', keyPem),
    caPem,
    caFile: await write('broker-ca.pem', caPem),
    bundleFile: await write('broker-ca-and-others.pem', [...new Set(trusted)].join('')),
  }
}

/** The variables of one broker, besides those that are passed on. */
const environmentOf = (emulator: Emulator, files: Files, url: string, redis: DevRedis | undefined) => ({
  ...emulator.environment(),
  HOST: '127.0.0.1',
  PORT: new URL(url).port,
  TLS_CERT_FILE: files.tls?.certFile ?? '',
  TLS_KEY_FILE: files.tls?.keyFile ?? '',
  TLS_CLIENT_CA_FILE: '',
  BROKER_POLICY_FILE: files.policyFile,
  BROKER_PUBLIC_URL: url,
  ...(redis && { BROKER_REDIS_URL: redis.url, BROKER_CACHE_KEY_FILE: files.cacheKeyFile }),
  // Read by Node itself when the process starts.
  NODE_EXTRA_CA_CERTS: files.emulatorCaFile,
})

function startBroker(environment: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, ['--disable-sigusr1', join(import.meta.dirname, '../src/cli.ts'), 'serve'], {
    stdio: 'inherit',
    env: { BROKER_DRAIN_SECONDS: '0', ...process.env, ...environment },
  })
}

/** Whether a probe responds 200. @param ca trusted for https */
function isGood(url: string, ca: string | undefined): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const start = ca === undefined ? httpGet : httpsGet
  const request = start(url, { agent: false, timeout: 2_000, ...(ca !== undefined && { ca }) }, response => {
    response.resume()
    resolve(response.statusCode === 200)
  })
  request.on('timeout', () => request.destroy()).on('error', () => resolve(false))
  return promise
}

/** @param urls where the `/readyz` of each is */
async function areReady(brokers: readonly ChildProcess[], urls: readonly string[], ca: string | undefined) {
  const isReady = async (broker: ChildProcess, url = ''): Promise<boolean> => {
    for (const end = Date.now() + startWithinMs; Date.now() < end && broker.exitCode === null; await sleep(50))
      if ((await isGood(`${url}/readyz`, ca)) && broker.exitCode === null) return true
    return false
  }
  return (await Promise.all(brokers.map((broker, nth) => isReady(broker, urls[nth])))).every(Boolean)
}

/** Forwards signals to the brokers. Once one has ended, the others are ended too. @returns its exit code */
async function runToTheEnd(brokers: readonly ChildProcess[]): Promise<number> {
  // Ctrl-C also reaches the brokers directly, because they are in the foreground group. They count the two as one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      for (const broker of brokers) broker.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
    })
  const exits = brokers.map(broker => once(broker, 'exit'))
  await Promise.race(exits)
  const first = brokers.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)
  for (const broker of brokers) if (broker.exitCode === null && broker.signalCode === null) broker.kill('SIGTERM')
  await Promise.all(exits)
  return first?.exitCode ?? 1
}

/** Tokens of tenants live five minutes then, so that there are refreshes to see. */
function startTraffic(
  emulator: Emulator,
  urls: readonly string[],
  ca: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  emulator.configure({ expiresIn: 300 })
  return driveTraffic({ urls, ca, tokenOf: sub => emulator.mintCallerToken({ sub }) }, signal)
}

async function dev(): Promise<number> {
  const { help, tls, replicas, faults, port, probes } = readDevOptions(process.argv.slice(2), process.env)
  if (help) {
    process.stdout.write(devHelp)
    return exitCodes.stopped
  }
  const origin = (host: string, at: number): string => `${tls ? 'https' : 'http'}://${host}:${at}`
  // The name is in the certificate. Without TLS nothing compares it, and the address is never one of IPv6.
  const claim = async (wanted: number) => origin(tls ? 'localhost' : '127.0.0.1', await claimPort(wanted))
  const url = await claim(port)
  const otherUrls = await Promise.all(Array.from({ length: replicas - 1 }, () => claim(0)))
  const operationsUrl = probes === undefined ? url : origin(probes.host, probes.port)
  const emulator = await startEmulator({ tenants: devTenants })
  const dashboardKey = encodeKey(randomBytes(32))
  const token = await emulator.mintCallerToken({ sub: 'sample-caller' }, { expiresIn: callerTokenLife })
  const files = await writeFiles(emulator, token, devPolicy(emulator, { dashboardKey, faults, now: Date.now() }), tls)
  const redis = replicas > 1 ? await startDevRedis(await claimPort(0), files.folder) : undefined
  const { tokenFile, tls: trust } = files
  const addresses = { url, otherUrls, isShared: redis !== undefined, operationsUrl, emulatorUrl: emulator.localUrl }
  const environmentFile = join(files.folder, 'broker.env')
  const stopping = new AbortController()
  let traffic: Promise<void> | undefined
  try {
    const environments = [url, ...otherUrls].map(each => environmentOf(emulator, files, each, redis))
    await writeFile(environmentFile, environmentText(environments[0] ?? {}), { mode: 0o600 })
    const brokers = environments.map(startBroker)
    const ended = runToTheEnd(brokers)
    if (await areReady(brokers, [operationsUrl, ...otherUrls], trust?.caPem)) {
      // On stderr: stdout has the broker's log only.
      process.stderr.write(
        welcomeText({ ...addresses, environmentFile, dashboardKey, faults, token, tokenFile, trust }),
      )
      if (faults) traffic = startTraffic(emulator, [url, ...otherUrls], trust?.caPem, stopping.signal)
    } else if (brokers.every(({ exitCode }) => exitCode === null)) {
      process.stderr.write('dev: the broker is not ready yet. Its log above says why.\n')
    }
    return await ended
  } finally {
    stopping.abort()
    await traffic
    await emulator.close()
    await redis?.close()
    await rm(files.folder, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await dev()
} catch (thrown) {
  if (!(thrown instanceof ExitError)) throw thrown
  process.stderr.write(`dev: ${thrown.message}\n`)
  process.exitCode = thrown.exitCode
}
