import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmulator, type Emulator } from './emulator.ts'
import { sample } from './options.ts'

/**
 * `npm run dev`: the emulator in this process, the broker as it ships in another, and a line to paste.
 * Ends with the broker, and passes signals on to it.
 */

const port = process.env['PORT'] ?? '8080'
const callerTokenLife = 8 * 60 * 60
const startWithinMs = 20_000

const policyText = (emulator: Emulator): string => `# Made by "npm run dev" for the emulator.
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
  - name: the sample caller looks at the broker, and makes it forget
    callers: [{ issuer: emulator, subject: sample-caller }]
    permissions: [observe, purge]
`

/** Asked before anything starts: another broker on the port would answer in this one's name. */
async function isPortFree(): Promise<boolean> {
  const probe = createServer()
  try {
    probe.listen(Number(port), '127.0.0.1')
    await once(probe, 'listening')
    return true
  } catch {
    return false
  } finally {
    probe.close()
  }
}

async function startBroker(emulator: Emulator, folder: string): Promise<ChildProcess> {
  const [policyFile, caFile] = [join(folder, 'policy.yaml'), join(folder, 'emulator-ca.pem')]
  await writeFile(policyFile, policyText(emulator))
  await writeFile(caFile, emulator.caPem)
  return spawn(process.execPath, [join(import.meta.dirname, '../src/cli.ts'), 'serve'], {
    stdio: 'inherit',
    env: {
      BROKER_DRAIN_SECONDS: '0',
      ...process.env,
      ...emulator.environment(),
      HOST: '127.0.0.1',
      PORT: port,
      BROKER_POLICY_FILE: policyFile,
      BROKER_PUBLIC_URL: `http://127.0.0.1:${port}`,
      // Read by Node itself when the process starts.
      NODE_EXTRA_CA_CERTS: caFile,
    },
  })
}

async function isReady(broker: ChildProcess): Promise<boolean> {
  for (const end = Date.now() + startWithinMs; Date.now() < end && broker.exitCode === null; await sleep(50)) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    if (ready?.ok && broker.exitCode === null) return true
  }
  return false
}

async function printWelcome(emulator: Emulator): Promise<void> {
  const token = await emulator.mintCallerToken({ sub: 'sample-caller' }, { expiresIn: callerTokenLife })
  process.stdout.write(`
The broker answers at http://127.0.0.1:${port}; the emulator (Entra, managed identity, caller issuer) is at
${emulator.localUrl}/control. Paste this for an access token of the tenant contoso:

curl -s http://127.0.0.1:${port}/tokens -H 'content-type: application/json' -H 'authorization: Bearer ${token}' -d '{"tenant":"contoso","scope":"https://graph.microsoft.com/.default"}'

Try "tenant":"tailspin" for a tenant that has not consented. With the same header, /health, /cache/entries and /metrics
show the broker's state; http://127.0.0.1:${port}/docs describes every endpoint. Ctrl-C stops everything.

For the other lines of README.md and docs:

export BROKER=http://127.0.0.1:${port} MY_OWN_TOKEN=${token}

`)
}

async function dev(): Promise<number> {
  if (!(await isPortFree())) {
    process.stderr.write(`dev: port ${port} cannot be had: stop what uses it, or run "PORT=8081 npm run dev"\n`)
    return 4
  }
  const emulator = await startEmulator()
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-dev-'))
  try {
    const broker = await startBroker(emulator, folder)
    const exited = once(broker, 'exit')
    // A Ctrl-C also reaches the broker by itself, as part of the foreground; it takes a signal that comes twice for one.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => broker.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal))
    }
    if (await isReady(broker)) await printWelcome(emulator)
    else if (broker.exitCode === null) process.stderr.write('dev: the broker is not ready yet; its log says why\n')
    await exited
    return broker.exitCode ?? 1
  } finally {
    await emulator.close()
    await rm(folder, { recursive: true, force: true })
  }
}

process.exitCode = await dev()
