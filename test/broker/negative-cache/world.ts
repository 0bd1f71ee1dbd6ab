import { createNegativeCache } from '../../../src/broker/tokens/negative-cache.ts'
import type { FetchTarget } from '../../../src/broker/tokens/negative-cache-rules.ts'
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
export const away = () => failure('upstream_unavailable', 'network')

/** A memory whose chance is `random` and whose time stands still; `calls` counts the fetches that were made. */
export function memoryWorld(max?: number) {
  const clock = movableClock()
  const world = { random: 0.5, calls: 0 }
  const memory = createNegativeCache({ clock, random: () => world.random, ...(max !== undefined && { max }) })
  const outcome = (asked: FetchTarget, work: () => Promise<string>) =>
    memory.run(asked, () => (world.calls++, work())).catch((thrown: unknown) => thrown)
  return {
    clock,
    memory,
    world,
    /** A fetch that succeeds: its result, or the failure that stood in its way. */
    succeed: (asked = target) => outcome(asked, () => Promise.resolve('token')),
    /** A fetch that fails: its failure, or the one that stood in its way. */
    fail: (error: Error, asked = target) =>
      outcome(asked, async () => {
        throw error
      }),
    /** A fetch that is under way until it is settled. */
    begin: (asked = target) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const result = outcome(asked, () => promise)
      return {
        result,
        succeed: () => (resolve('token'), result),
        fail: (error: Error) => (reject(error), result),
      }
    },
    /** Which of the four targets are refused now: a letter each. */
    refused: () =>
      Object.entries({ target, scope: otherScope, tenant: otherTenant, application: otherApplication })
        .filter(([, asked]) => memory.lookUp(asked))
        .map(([name]) => name)
        .join(' '),
  }
}
