import { hashKey } from '../src/broker/authentication/api-keys.ts'
import type { Emulator } from './emulator.ts'
import { defaultTenants, sample, type TenantOptions } from './options.ts'
import { trafficCallers } from './dev-traffic.ts'

const northwind = '40000000-0000-4000-8000-000000000004'

/** The tenants of `npm run dev`: those of the samples, and one more for its traffic. */
export const devTenants: readonly TenantOptions[] = [...defaultTenants, { id: northwind }]

/** What {@link devPolicy} depends on. */
export interface DevPolicyOptions {
  /** The API key that signs in to the dashboard. */
  readonly dashboardKey: string
  /** Whether it grants something to the callers of {@link trafficCallers}. */
  readonly faults: boolean
  /** Milliseconds since 1970. */
  readonly now: number
}

/** The policy of `npm run dev`. */
export function devPolicy({ callerIssuer }: Emulator, { dashboardKey, faults, now }: DevPolicyOptions): string {
  const expires = new Date(now + 365 * 86_400_000).toISOString().slice(0, 10)
  return `# Written by "npm run dev" for the emulator.
applications:
  default: ${sample.application}
  assistants: ${sample.blueprint} # the blueprint of an agent identity
agents:
  helper: { application: assistants, id: ${sample.agentIdentity}, tenant: contoso }
tenants:
  contoso: ${sample.contoso}
  fabrikam: ${sample.fabrikam}
  tailspin: ${sample.tailspin} # has not consented
  northwind: ${northwind}
scopes:
  graph: https://graph.microsoft.com/.default
issuers:
  emulator:
    issuer: ${callerIssuer}
    audiences: [token-broker]
apiKeys:
  dashboard: { sha256: ${hashKey(dashboardKey)}, expires: ${expires} }
rules:
  - name: the sample caller reads the directory of every customer
    callers: [{ issuer: emulator, subject: sample-caller }]
    tenants: "*"
    scopes: [graph]
  - name: the sample caller gets tokens of an agent identity
    callers: [{ issuer: emulator, subject: sample-caller }]
    tenants: "*"
    scopes: [graph]
    agents: [helper]
  - name: the sample caller and the dashboard observe the broker and purge its cache
    callers: [{ issuer: emulator, subject: sample-caller }, { apiKey: dashboard }]
    permissions: [observe, purge]
${faults ? trafficRule : ''}`
}

const trafficRule = `  - name: billing reads the directory of every customer
    callers: [{ issuer: emulator, subject: ${trafficCallers[0].subject} }]
    tenants: "*"
    scopes: [graph]
`
