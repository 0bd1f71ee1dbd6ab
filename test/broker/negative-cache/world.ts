import assert from 'node:assert/strict'
import {
  createNegativeCache,
  type NegativeCacheOptions,
  type RunOptions,
} from '../../../src/broker/tokens/negative-cache/negative-cache.ts'
import { matches } from '../../../src/broker/tokens/negative-cache/records.ts'
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
export function negativeCacheWorld(options: Partial<Pick<NegativeCacheOptions, 'max' | 'admits'>> = {}) {
  const clock = movableClock()
  const world = { random: 0.5, calls: 0 }
  const negativeCache = createNegativeCache({ clock, random: () => world.random, ...options })
  const outcome = (of: FetchTarget, work: () => Promise<string>, how?: RunOptions) =>
    negativeCache.run(of, () => (world.calls++, work()), how).catch((thrown: unknown) => thrown)
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
    /** Runs a probe that is made in spite of the cached failure, and fails. */
    probe: (error: Error, of = target) =>
      outcome(
        of,
        async () => {
          throw error
        },
        { early: true },
      ),
    /** Runs a fetch that is under way until `succeed` or `fail` is called. */
    begin: (of = target, how: RunOptions = {}) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const result = outcome(of, () => promise, how)
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
