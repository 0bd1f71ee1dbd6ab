import { noSpans, type ClientCall, type Spans } from '../../broker/lib/spans.ts'
import type { Availability } from './availability.ts'
import type { RedisCommand } from './connection/client.ts'
import type { RedisConnection } from './connection/connection.ts'

/** Redis behind its circuit breaker. */
export interface Store {
  /**
   * Sends commands in one round trip. Returns one reply each: bulk replies as `Buffer`, an error reply as an `Error`.
   *
   * @param deadlineMs milliseconds
   * @param atomic all of them or none (`MULTI`)
   * @throws StoreUnavailable if there is no connection, no response in time, or the store is down
   */
  readonly send: (
    commands: readonly RedisCommand[],
    deadlineMs: number,
    atomic?: boolean,
  ) => Promise<readonly unknown[]>
  /** Whether a request would be sent. Costs nothing. */
  readonly isUp: () => boolean
}

/** The store did not respond, or did not carry out a transaction. Nothing is known about what it did. */
export class StoreUnavailable extends Error {
  constructor(cause?: unknown) {
    super('Redis does not respond', cause === undefined ? undefined : { cause })
    this.name = 'StoreUnavailable'
  }
}

/** Puts the circuit breaker in front of a connection. */
export function createStore(connection: RedisConnection, availability: Availability, spans: Spans = noSpans): Store {
  return {
    isUp: () => connection.isConnected() && availability.isUp(),
    async send(commands, deadlineMs, atomic = false) {
      if (!connection.isConnected() || !availability.isUp()) throw new StoreUnavailable()
      const replied = () => availability.replied(connection.send(commands, atomic), deadlineMs)
      try {
        return await spans.call(callOf(commands, atomic), replied)
      } catch (thrown) {
        throw new StoreUnavailable(thrown)
      }
    },
  }
}

/** By OpenTelemetry's semantic conventions for databases: names of commands, and none of their arguments. */
function callOf(commands: readonly RedisCommand[], atomic: boolean): ClientCall {
  const name = commands.length === 1 ? String(commands[0]?.[0]) : atomic ? 'MULTI' : 'PIPELINE'
  return {
    name,
    attributes: {
      'db.system.name': 'redis',
      'db.operation.name': name,
      ...(commands.length > 1 && { 'db.operation.batch.size': commands.length }),
    },
  }
}
