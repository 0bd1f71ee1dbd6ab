import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { startEmulator } from '../../emulator/emulator.ts'
import { sample } from '../../emulator/options.ts'

/** The broker's drain time, in seconds. */
export const drainSeconds = 1

const scope = 'https://graph.microsoft.com/.default'

/** The environment of the container: the emulator outside, the broker's settings, and a caller. */
export interface World {
  /** Contains the policy and the emulator's CA. It is /etc/token-broker in the container. */
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>
  readonly url: string
  /** The caller's own token. */
  readonly credential: string
  /** Requests a token for a tenant that has consented. */
  readonly requestToken: () => Promise<Response>
  readonly close: () => Promise<void>
}

/** Starts the emulator on loopback and writes the broker's files below the folder. */
export async function createWorld(below: string): Promise<World> {
  const emulator = await startEmulator()
  const folder = join(below, 'etc')
  await mkdir(folder)
  await writeFile(join(folder, 'ca.pem'), emulator.caPem)
  const policy = {
    applications: { default: sample.application },
    tenants: { contoso: sample.contoso },
    issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
    rules: [
      {
        name: 'image test',
        callers: [{ issuer: 'emulator', subject: 'image-check' }],
        tenants: ['contoso'],
        scopes: [scope],
      },
    ],
  }
  await writeFile(join(folder, 'policy.yaml'), JSON.stringify(policy))
  // The container reads the folder as another user.
  for (const path of [below, folder]) await chmod(path, 0o755)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const credential = await emulator.mintCallerToken({ sub: 'image-check' }, { expiresIn: 3600 })
  const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ tenant: 'contoso', scope })
  return {
    folder,
    environment: {
      ...emulator.environment(),
      PORT: String(port),
      BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
      BROKER_DRAIN_SECONDS: String(drainSeconds),
      NODE_EXTRA_CA_CERTS: '/etc/token-broker/ca.pem',
    },
    url,
    credential,
    requestToken: () => fetch(`${url}/tokens`, { method: 'POST', headers, body, signal: AbortSignal.timeout(10_000) }),
    close: () => emulator.close(),
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
