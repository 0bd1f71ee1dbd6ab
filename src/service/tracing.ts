import type { Runtime } from '../broker/lib/clock.ts'
import type { Config } from '../config/config.ts'
import { agentFor, createEgress } from '../outbound/network/egress.ts'
import type { Logs } from '../telemetry/log.ts'
import type { Tracing } from '../telemetry/tracing/tracing.ts'
import { version } from './package.ts'

/** Milliseconds for a connection to the receiver through the proxy. */
const connectWithinMs = 3_000

/** Tracing, if it is on, and the runtime with its spans. */
export interface Traced {
  readonly tracing: Tracing | undefined
  readonly traced: Runtime
}

/** Starts tracing, and loads what it needs; neither without an endpoint in the configuration. */
export async function connectTracing(config: Config, runtime: Runtime, log: Logs['log']): Promise<Traced> {
  const { tracing: settings, proxy } = config
  if (settings === undefined) return { tracing: undefined, traced: runtime }
  const { createTracing } = await import('../telemetry/tracing/tracing.ts')
  const agent = agentFor(new URL(settings.url), createEgress(proxy, { keepAlive: true, connectWithinMs }))
  const tracing = createTracing(settings, { version, clock: runtime.clock, agent, log })
  return { tracing, traced: { ...runtime, spans: tracing.spans } }
}
