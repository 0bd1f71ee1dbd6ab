import assert from 'node:assert/strict'
import { createCircuit, type CircuitOptions } from '../../../src/outbound/entra/circuit-breaker.ts'
import { BrokerError, type ErrorCode, type ReasonOf } from '../../../src/errors.ts'
import { movableClock, noon } from '../../support/clock.ts'

export const failure = <Code extends ErrorCode>(code: Code, reason: ReasonOf<Code>, retryAfter?: number) =>
  new BrokerError<ErrorCode>(code, reason, { reason, ...(retryAfter !== undefined && { retryAfter }) })
export const networkError = () => failure('upstream_unavailable', 'network')
export const throttled = () => failure('upstream_unavailable', 'throttled', 7)

/** Whether a circuit rejected an exchange, with this Retry-After in seconds. */
export const isCircuitOpen = (thrown: unknown, retryAfter: number) =>
  thrown instanceof BrokerError &&
  thrown.code === 'upstream_unavailable' &&
  thrown.reason === 'circuit_open' &&
  thrown.retryAfter === retryAfter

/** A circuit whose time stands still; its changes, and the exchanges that were made. */
export function circuitWorld(options: Partial<CircuitOptions> = {}) {
  const clock = movableClock()
  const changes: string[] = []
  const circuit = createCircuit({
    clock,
    changed: (state, since) => changes.push(`${state} after ${since - noon} ms`),
    ...options,
  })
  let calls = 0
  const run = async (tenant: string, exchange: () => Promise<string>): Promise<unknown> => {
    try {
      return await circuit.run(tenant, () => (calls++, exchange()))
    } catch (thrown) {
      return thrown
    }
  }
  /** An exchange that runs until the test settles it. */
  const begin = (tenant = 'a') => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    // If the circuit rejects the exchange, there is no other handler.
    promise.catch(() => undefined)
    const result = run(tenant, () => promise)
    return { result, succeed: () => (resolve('token'), result), fail: (error: Error) => (reject(error), result) }
  }
  const fail = (error: Error, tenant?: string) => begin(tenant).fail(error)
  const succeed = (tenant?: string) => begin(tenant).succeed()
  return {
    clock,
    circuit,
    changes,
    begin,
    fail,
    succeed,
    calls: () => calls,
    /** As many exchanges as there are letters, each of the tenant that it names: capitals fail. */
    exchanges: async (letters: string, error = networkError()) => {
      for (const letter of letters) {
        const tenant = letter.toLowerCase()
        await (letter === tenant ? succeed(tenant) : fail(error, tenant))
      }
    },
    open: async () => {
      for (const tenant of 'abcdefghij') await fail(networkError(), tenant)
      assert.equal(circuit.state(), 'open')
    },
  }
}
