import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmulator } from '../emulator/emulator.ts'
import { sample } from '../emulator/options.ts'
import type { World } from './world.ts'

const scope = 'https://graph.microsoft.com/.default'
/** A claim that makes the caller's token as long as a real one. */
const padding = 'x'.repeat(800)

/** Its application permissions make the access token as long as a real one: about 1.8 kB. */
const resource = {
  uri: 'https://graph.microsoft.com',
  appId: '00000003-0000-0000-c000-000000000000',
  tokenVersion: 1,
  roles: Array.from({ length: 29 }, (_, n) => `Resource${n}.Read.All`),
} as const

/** The GUID of the nth tenant. */
export const tenantId = (n: number): string => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Starts an emulator with this many tenants. All servers that are compared get the same environment. */
export async function createCompareWorld(tenants: number): Promise<World> {
  const ids = Array.from({ length: tenants }, (_, n) => tenantId(n))
  const emulator = await startEmulator({ tenants: ids.map(id => ({ id, resources: [resource] })) })
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-compare-'))
  const [policyFile, caFile] = [join(folder, 'policy.yaml'), join(folder, 'ca.pem')]
  await writeFile(caFile, emulator.caPem)
  await writeFile(
    policyFile,
    `applications: { default: ${sample.application} }
issuers: { emulator: { issuer: "${emulator.callerIssuer}", audiences: [token-broker] } }
rules:
  - { name: compare, callers: [{ issuer: emulator, subject: compare }], tenants: "*", scopes: ["${scope}"] }
  - { name: operations, callers: [{ issuer: emulator, subject: compare }], permissions: [observe, purge] }
`,
  )
  // The broker waits a second for a file that was just written, in case it is not complete yet.
  await utimes(policyFile, 0, 0)
  const token = await emulator.mintCallerToken({ sub: 'compare', padding }, { expiresIn: 86_400 })
  return {
    emulator,
    folder,
    environment: {
      PATH: process.env['PATH'] ?? '',
      ...emulator.environment(),
      NODE_EXTRA_CA_CERTS: caFile,
      // For the broker.
      BROKER_POLICY_FILE: policyFile,
      BROKER_DRAIN_SECONDS: '0',
      BROKER_CACHE_MAX_ENTRIES: String(Math.max(20_000, tenants)),
      BROKER_AUDIT: 'summary',
      // For bench/credentials.ts.
      APPLICATION: sample.application,
      HOME_TENANT: sample.homeTenant,
      ISSUER: emulator.callerIssuer,
      JWKS: `${emulator.callerIssuer}/jwks`,
    },
    authorization: `Bearer ${token}`,
    bodies: ids.map(tenant => JSON.stringify({ tenant, scope })),
    close: async () => {
      await emulator.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
