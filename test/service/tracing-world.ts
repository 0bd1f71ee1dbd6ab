import type { TestContext } from 'node:test'
import { type BrokerOptions, graph, send, startWorld, type TestBroker } from '../support/broker.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'

/** Kinds of spans, as OTLP numbers them. */
export const [internal, server, client] = [1, 2, 3] as const

/** Starts the emulator of a test file, for brokers that send their spans to a receiver. */
export async function tracingWorld() {
  const world = await startWorld()
  const { emulator, clock } = world
  const authorization = `Bearer ${await emulator.mintCallerToken()}`
  return {
    world,
    emulator,
    clock,
    authorization,
    /** Starts a broker that sends its spans to a receiver, which responds with this status. */
    traced: async (t: TestContext, environment = {}, options: BrokerOptions = {}, status = 200) => {
      const receiver = await startOtlpReceiver(status)
      t.after(receiver.close)
      const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_METRICS_EXPORTER: 'none' }
      const broker = await world.broker(t, { ...options, environment: { ...endpoint, ...environment } })
      const finish = async () => {
        await broker.service.close()
        return receiver.spans
      }
      return { broker, receiver, finish }
    },
    requestIn: (broker: TestBroker, traceparent?: string, tenant = 'contoso') =>
      send(`${broker.url}/tokens`, {
        method: 'POST',
        headers: {
          authorization,
          'content-type': 'application/json',
          ...(traceparent !== undefined && { traceparent }),
        },
        body: JSON.stringify({ tenant, scope: graph }),
      }),
  }
}
