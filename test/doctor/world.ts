import assert from 'node:assert/strict'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { createSigningKey, signJws, type Json } from '../../emulator/jws.ts'
import { defaultSettings, sample, type EmulatorOptions } from '../../emulator/options.ts'
import { hasCredential } from '../../src/broker/lib/text/credential-shapes.ts'
import { systemClock, type Clock } from '../../src/broker/lib/clock.ts'
import type { CheckId } from '../../src/doctor/check-table.ts'
import { examine } from '../../src/doctor/doctor.ts'
import type { Report, ReportedLine } from '../../src/doctor/report.ts'
import { graph, sampleCaller, trust, type Closing } from '../support/broker.ts'
import { useIdentityOf, withIdentityOf } from '../support/identity-endpoints.ts'

/** Graph without application permissions, and Azure Resource Manager, whose tokens have none either. */
export const unconsentedRoles = '40000000-0000-4000-8000-0000000000a1'
/** A tenant of the cloud for the US government. */
export const usGov = '40000000-0000-4000-8000-0000000000a2'
/** A tenant in which the application is disabled, and one in which it has no role. */
export const disabledIn = '40000000-0000-4000-8000-0000000000a3'
export const unassignedIn = '40000000-0000-4000-8000-0000000000a4'
/** An application whose registration is in another tenant. */
export const foreignApplication = '30000000-0000-4000-8000-0000000000b1'

/** Another blueprint than `sample.blueprint`, and its agent identity. */
const otherBlueprint = '30000000-0000-4000-8000-0000000000c2'
export const agentOfOther = '60000000-0000-4000-8000-0000000000a2'

const graphResource = {
  uri: 'https://graph.microsoft.com',
  appId: '00000003-0000-0000-c000-000000000000',
  tokenVersion: 1,
} as const
const azureResource = { uri: 'https://management.azure.com', appId: sample.contoso, tokenVersion: 1 } as const

/** More tenants than tokens are requested. */
export const manyTenants: Readonly<Record<string, string>> = Object.fromEntries(
  Array.from({ length: 25 }, (_, n) => [`tenant-${n}`, `41000000-0000-4000-8000-0000000000${n + 10}`]),
)

/** An application that trusts the service account of a Kubernetes cluster. */
export const clusterApplication = '30000000-0000-4000-8000-0000000000b2'
const clusterKey = await createSigningKey('RS256', 'cluster')
const cluster = { issuer: 'https://cluster.example', subject: 'system:serviceaccount:broker:token-broker' }

/** A token of that service account, whose audiences are a list. */
export function clusterToken(claims: Json = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const { issuer: iss, subject: sub } = cluster
  const payload = { iss, sub, aud: [sample.audience], iat: now, nbf: now, exp: now + 3600, ...claims }
  return signJws({ alg: 'RS256', kid: clusterKey.kid, typ: 'JWT' }, payload, clusterKey)
}

const directory: EmulatorOptions = {
  federatedIssuers: [{ issuer: cluster.issuer, jwks: { keys: [clusterKey.jwk] } }],
  applications: [
    { clientId: sample.application },
    { clientId: clusterApplication, federatedCredentials: [cluster] },
    { clientId: foreignApplication, homeTenant: sample.contoso },
    { clientId: sample.blueprint, agentIdentities: [{ clientId: sample.agentIdentity, tenant: sample.contoso }] },
    { clientId: otherBlueprint, agentIdentities: [{ clientId: agentOfOther, tenant: sample.contoso }] },
  ],
  tenants: [
    { id: sample.contoso },
    { id: sample.fabrikam },
    { id: sample.tailspin, consented: [] },
    { id: unconsentedRoles, resources: [graphResource, azureResource] },
    { id: usGov, cloud: 'https://login.microsoftonline.us' },
    { id: disabledIn, disabled: [sample.application] },
    { id: unassignedIn, unassigned: [sample.application] },
    ...Object.values(manyTenants).map(id => ({ id })),
  ],
}

/** What differs from a broker with which all is well. */
export interface Case {
  /** Replaces top-level fields of the policy; a text is the whole file. */
  readonly policy?: Json | string
  /** Replaces variables; an empty one counts as absent. */
  readonly environment?: Readonly<Record<string, string>>
  readonly tenant?: string
  readonly clock?: Clock
  readonly totalMs?: number
  readonly listenMs?: number
}

/** An emulator, and the doctor in front of it. */
export interface DoctorWorld {
  readonly emulator: Emulator
  /** Examines a broker. The emulator is well again at the end of the test. Checks besides what is true of every report: no credential, and few exchanges. */
  readonly examine: (t: Closing, differing?: Case) => Promise<Report>
  /** Writes a file that is removed at the end of the test, and resolves to its path. */
  readonly file: (t: Closing, text: string, mode?: number) => Promise<string>
}

/** Starts the emulator, which is closed at the end of the file. */
export async function startDoctorWorld(): Promise<DoctorWorld> {
  const emulator = await startEmulator(directory)
  after(() => emulator.close())
  useIdentityOf(emulator)
  trust(emulator.caPem)
  const reset = (): void => {
    emulator.clearFaults()
    emulator.configure(defaultSettings)
    emulator.setFederatedCredentials(sample.application, [{}])
    emulator.setFederatedCredentials(sample.blueprint, [{}])
    emulator.renewIdentityToken()
  }
  return {
    emulator,
    file: writeTemporary,
    examine: async (t, { policy = {}, environment = {}, clock = systemClock, ...others } = {}) => {
      t.after(reset)
      const text = typeof policy === 'string' ? policy : JSON.stringify({ ...policyFor(emulator), ...policy })
      const base = { ...emulator.environment(), BROKER_POLICY_FILE: await writeTemporary(t, text) }
      const found: ReportedLine[] = []
      const before = emulator.counts().endpoints.token.total
      const report = await withIdentityOf(emulator, () =>
        examine({
          environment: { ...base, ...environment },
          clock,
          listenMs: 50,
          ...others,
          found: ({ id }) => found.push({ id } as ReportedLine),
        }),
      )
      assert.deepEqual(
        found.map(({ id }) => id),
        report.checks.map(({ id }) => id),
        'each line is reported at once',
      )
      assertSafe(report, emulator)
      assert.ok(report.exchanges <= 20)
      assert.ok(emulator.counts().endpoints.token.total - before <= report.exchanges, 'each exchange is counted')
      return report
    },
  }
}

function assertSafe(report: Report, emulator: Emulator): void {
  const text = JSON.stringify(report)
  assert.ok(!hasCredential(text), 'no credential')
  assert.ok(!text.includes(emulator.identityHeader), 'not the header of the identity endpoint')
  for (const { id, status, fix = [], because } of report.checks) {
    if (status === 'warning' || status === 'failed') assert.ok(fix.length > 0 && !fix.includes(''), `${id} has a fix`)
    if (because !== undefined)
      assert.ok(
        report.checks.some(each => each.id === because && each.status !== 'ok'),
        `${id} names what failed`,
      )
  }
}

const policyFor = (emulator: Emulator): Json => ({
  applications: { default: sample.application },
  tenants: { contoso: sample.contoso, fabrikam: sample.fabrikam },
  issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
  rules: [rule()],
})

/** A rule of the sample caller. */
export const rule = (changes: Json = {}): Json => ({
  name: 'sample',
  callers: [sampleCaller],
  tenants: '*',
  scopes: [graph],
  ...changes,
})

/** Written long ago, so that the doctor does not wait until it is complete. */
async function writeTemporary(t: Closing, text: string, mode = 0o600): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-doctor-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'file')
  await writeFile(path, text, { mode })
  await utimes(path, 0, 0)
  return path
}

/** The ids of the lines with a status, each once. */
export const idsOf = ({ checks }: Report, status: ReportedLine['status']): readonly CheckId[] => [
  ...new Set(checks.filter(line => line.status === status).map(({ id }) => id)),
]

/** All that the line of a check says, as one text. */
export const textOf = ({ checks }: Report, id: CheckId): string =>
  checks
    .filter(line => line.id === id)
    .map(({ subject = '', text, advice = '', fix = [] }) => [subject, text, advice, ...fix].join('\n'))
    .join('\n')

/** A certificate authority of no one. */
export const strangers = createAuthority('Contoso TLS Inspection')
