import assert from 'node:assert/strict'
import { createNegativeCache, matches } from '../../../src/broker/tokens/negative-cache/negative-cache.ts'
import type { FetchTarget } from '../../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import { BrokerError, type ErrorCode, type ErrorParts, type ReasonOf } from '../../../src/errors.ts'
import { arm, graph, ids } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

/** What a fetch is for: the shared application's Graph token of contoso, but for the changes. */
export function targetFor(changes: Partial<Omit<FetchTarget, 'key'>> = {}): FetchTarget {
  const target = { clientId: ids.application, tenant: ids.contoso, scope: graph, ...changes }
  return { ...target, key: `${target.clientId} ${target.tenant} ${target.scope}` }
}

export const target = targetFor()
export const otherScope = targetFor({ scope: arm })
export const otherTenant = targetFor({ tenant: ids.fabrikam })
export const otherApplication = targetFor({ clientId: ids.other })

export const failure = <Code extends ErrorCode>(code: Code, reason: ReasonOf<Code>, parts: ErrorParts = {}) =>
  new BrokerError<ErrorCode>(code, `a ${reason} failure`, { ...parts, reason })
export const federation = () => failure('federation_misconfigured', 'federation')
export const consent = () => failure('consent_required', 'consent')
export const unknown = () => failure('upstream_rejected', 'unknown')
export const unavailable = () => failure('upstream_unavailable', 'network')

/** A negative cache with a clock that stands still. `world.random` is its chance; `world.calls` counts the fetches. */
export function negativeCacheWorld(max?: number) {
  const clock = movableClock()
  const world = { random: 0.5, calls: 0 }
  const negativeCache = createNegativeCache({ clock, random: () => world.random, ...(max !== undefined && { max }) })
  const outcome = (of: FetchTarget, work: () => Promise<string>) =>
    negativeCache.run(of, () => (world.calls++, work())).catch((thrown: unknown) => thrown)
  return {
    clock,
    negativeCache,
    world,
    /** Runs a fetch that succeeds: its result, or the cached failure. */
    succeed: (of = target) => outcome(of, () => Promise.resolve('token')),
    /** Runs a fetch that fails: its failure, or the cached one. */
    fail: (error: Error, of = target) =>
      outcome(of, async () => {
        throw error
      }),
    /** Runs a fetch that is under way until `succeed` or `fail` is called. */
    begin: (of = target) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const result = outcome(of, () => promise)
      return {
        result,
        succeed: () => (resolve('token'), result),
        fail: (error: Error) => (reject(error), result),
      }
    },
    /** The one cached failure that affects a target, also if its period is over. */
    cachedFailure: (of = target) => {
      const [cached, ...more] = [...negativeCache.all()].filter(each => matches(each, of))
      assert.ok(cached)
      assert.deepEqual(more, [])
      return cached
    },
    /** The names of the four targets for which a failure is cached now. */
    refused: () =>
      Object.entries({ target, scope: otherScope, tenant: otherTenant, application: otherApplication })
        .filter(([, each]) => negativeCache.lookUp(each))
        .map(([name]) => name)
        .join(' '),
  }
}
