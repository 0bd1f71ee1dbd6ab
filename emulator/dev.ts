import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '../src/errors.ts'
import { ExitError, exitCodes } from '../src/exit.ts'
import { devHelp, readDevOptions } from './dev-options.ts'
import { startEmulator, type Emulator } from './emulator.ts'
import { sample } from './options.ts'

/**
 * `npm run dev` runs the emulator in this process and the broker in another, and prints commands to try.
 * It forwards signals to the broker and ends when the broker ends, with the same exit code.
 */

/** Seconds. The welcome text says 8 hours. */
const callerTokenLife = 8 * 60 * 60
const startWithinMs = 20_000

const policyText = (emulator: Emulator): string => `# Written by "npm run dev" for the emulator.
applications:
  default: ${sample.application}
tenants:
  contoso: ${sample.contoso}
  fabrikam: ${sample.fabrikam}
  tailspin: ${sample.tailspin} # has not consented
issuers:
  emulator:
    issuer: ${emulator.callerIssuer}
    audiences: [token-broker]
rules:
  - name: the sample caller reads the directory of every customer
    callers: [{ issuer: emulator, subject: sample-caller }]
    tenants: "*"
    scopes: ["https://graph.microsoft.com/.default"]
  - name: the sample caller observes the broker and purges its cache
    callers: [{ issuer: emulator, subject: sample-caller }]
    permissions: [observe, purge]
`

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

async function startBroker(emulator: Emulator, folder: string, port: number): Promise<ChildProcess> {
  const [policyFile, caFile] = [join(folder, 'policy.yaml'), join(folder, 'emulator-ca.pem')]
  await writeFile(policyFile, policyText(emulator))
  // The broker waits a second for a file that was just written, in case it is not complete yet.
  await utimes(policyFile, 0, 0)
  await writeFile(caFile, emulator.caPem)
  return spawn(process.execPath, ['--disable-sigusr1', join(import.meta.dirname, '../src/cli.ts'), 'serve'], {
    stdio: 'inherit',
    env: {
      BROKER_DRAIN_SECONDS: '0',
      ...process.env,
      ...emulator.environment(),
      HOST: '127.0.0.1',
      PORT: String(port),
      TLS_CERT_FILE: '',
      TLS_KEY_FILE: '',
      TLS_CLIENT_CA_FILE: '',
      BROKER_POLICY_FILE: policyFile,
      BROKER_PUBLIC_URL: `http://127.0.0.1:${port}`,
      // Read by Node itself when the process starts.
      NODE_EXTRA_CA_CERTS: caFile,
    },
  })
}

/** @param probes where `/readyz` is */
async function isReady(broker: ChildProcess, probes: { host: string; port: number }): Promise<boolean> {
  for (const end = Date.now() + startWithinMs; Date.now() < end && broker.exitCode === null; await sleep(50)) {
    const ready = await fetch(`http://${probes.host}:${probes.port}/readyz`).catch(() => undefined)
    if (ready?.ok && broker.exitCode === null) return true
  }
  return false
}

/** On stderr: stdout has the broker's log only. */
async function printWelcome(emulator: Emulator, port: number): Promise<void> {
  const token = await emulator.mintCallerToken({ sub: 'sample-caller' }, { expiresIn: callerTokenLife })
  const url = `http://127.0.0.1:${port}`
  process.stderr.write(`
The broker is ready at ${url}. It uses an emulator of Entra, so you need no Azure account.
The warning about BROKER_UNSAFE_AUTHORITY above is expected here.

To get an access token for the tenant contoso, paste this line into another terminal:

curl -s -w '\\n' ${url}/tokens -H 'content-type: application/json' -H 'authorization: Bearer ${token}' -d '{"tenant":"contoso","scope":"https://graph.microsoft.com/.default"}'

To run the commands in README.md and docs, set their variables in that terminal. The token lives for 8 hours.

export BROKER=${url} MY_OWN_TOKEN=${token}

What to try next:
- See an error: replace contoso by tailspin in the first line. That tenant has not consented to the application.
- See the broker's state: curl -s "$BROKER/health" -H "authorization: Bearer $MY_OWN_TOKEN"
  (or /cache/entries, or /metrics)
- Read about every endpoint: open ${url}/docs
- See what the emulator received: curl -s ${emulator.localUrl}/control

Press Ctrl-C to stop the broker and the emulator.

`)
}

async function dev(): Promise<number> {
  const { help, port: wantedPort, probes } = readDevOptions(process.argv.slice(2), process.env)
  if (help) {
    process.stdout.write(devHelp)
    return exitCodes.stopped
  }
  const port = await claimPort(wantedPort)
  const emulator = await startEmulator()
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-dev-'))
  try {
    const broker = await startBroker(emulator, folder, port)
    const exited = once(broker, 'exit')
    // Ctrl-C also reaches the broker directly, because it is in the foreground group. It counts the two signals as one.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => broker.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal))
    }
    const at = probes ?? { host: '127.0.0.1', port }
    if (await isReady(broker, at)) await printWelcome(emulator, port)
    else if (broker.exitCode === null)
      process.stderr.write('dev: the broker is not ready yet. Its log above says why.\n')
    await exited
    return broker.exitCode ?? 1
  } finally {
    await emulator.close()
    await rm(folder, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await dev()
} catch (thrown) {
  if (!(thrown instanceof ExitError)) throw thrown
  process.stderr.write(`dev: ${thrown.message}\n`)
  process.exitCode = thrown.exitCode
}
