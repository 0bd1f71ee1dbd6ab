import type { Grant } from '../src/broker/authorization/authorize.ts'
import { systemClock } from '../src/broker/lib/clock.ts'
import { entra } from '../src/outbound/entra/entra.ts'
import { createEgress } from '../src/outbound/network/egress.ts'

/** The process that bench/exchange.ts measures: it makes one exchange for each tenant. */

/** What it prints, as JSON. */
export interface ExchangeCost {
  /** Milliseconds of CPU time per exchange. */
  readonly cpuMs: number
  readonly residentBytes: number
}

const setting = (name: string): string => process.env[name] ?? ''
/** Not measured: connections are made, and the code is compiled. */
const warmUp = 200
const atOnce = 20
const timeoutMs = 60_000

const assertion = { token: setting('ASSERTION'), expiresAt: Number.POSITIVE_INFINITY }
const exchange = entra({
  authority: setting('AUTHORITY'),
  egress: createEgress(undefined, { keepAlive: true, connectWithinMs: timeoutMs }),
  assertions: {
    get: () => Promise.resolve(assertion),
    renew: () => Promise.resolve(assertion),
    homeTenant: () => undefined,
  },
  clock: systemClock,
  events: {
    upstreamCalled: () => undefined,
    agentStepEnded: () => undefined,
    clockCompared: () => undefined,
    opaqueToken: () => undefined,
  },
  agents: { tokenExchange: 'api://AzureADTokenExchange' },
})

const grantOf = (tenant: string): Grant => {
  const [clientId, scope] = [setting('APPLICATION'), 'https://graph.microsoft.com/.default']
  return { clientId, tenant, scope, key: `${clientId} ${tenant} ${scope}` } as Grant
}

async function exchangeAll(tenants: readonly string[]): Promise<void> {
  const left = tenants.values()
  const work = async (): Promise<void> => {
    for (const tenant of left) await exchange(grantOf(tenant), AbortSignal.timeout(timeoutMs))
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

const tenants = setting('TENANTS').split(' ')
await exchangeAll(tenants.slice(0, warmUp))
const before = process.cpuUsage()
await exchangeAll(tenants)
const { user, system } = process.cpuUsage(before)
const cost: ExchangeCost = {
  cpuMs: (user + system) / 1000 / tenants.length,
  residentBytes: process.memoryUsage.rss(),
}
process.stdout.write(JSON.stringify(cost))
process.exit()
