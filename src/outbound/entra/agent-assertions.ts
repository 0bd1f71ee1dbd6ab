import {
  createAssertionCache,
  type AssertionCacheSource,
  type AssertionKind,
} from '../../broker/tokens/assertion-cache.ts'
import { matches } from '../../broker/tokens/negative-cache/records.ts'
import { createLru } from '../../broker/lib/lru.ts'
import type { Clock, Wait } from '../../broker/lib/clock.ts'
import type { Assertion, AssertionSource, FetchFilter } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'

// The last hop, broker → Entra, for an agent identity: the tokens that blueprints get for their agent identities.

/** An agent identity in its tenant. All three are GUIDs in lower case. */
export interface AgentPlace {
  /** Of its blueprint. */
  readonly clientId: string
  readonly agentId: string
  readonly tenant: string
}

/** The tokens of blueprints, each the client assertion of one agent identity. They are never issued to a caller. */
export interface AgentAssertions {
  /**
   * The token of a place; `undefined` if the policy does not have it any more, so that nothing is kept for it.
   * @param fetch requests a new one from Entra; must settle when its signal aborts
   */
  readonly of: (
    place: AgentPlace,
    fetch: (signal: AbortSignal) => Promise<Assertion>,
  ) => Pick<AssertionSource, 'get' | 'renew'> | undefined
  /** Forgets those of matching agent identities. What a running fetch returns is not kept either. */
  readonly purge: (filter: FetchFilter) => void
  /**
   * Forgets those that the policy does not have any more, as {@link purge} does, and those that have expired. It runs once a
   * minute while there is one; the owner calls it when the policy changes.
   */
  readonly sweep: () => void
  /** Ends the calls of {@link sweep}. */
  readonly close: () => void
}

/** What {@link createAgentAssertions} needs. */
export interface AgentAssertionsOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Whether the active policy has an agent identity with this blueprint. */
  readonly isKnown: (place: AgentPlace) => boolean
  /** The longest time of one request, in milliseconds. */
  readonly timeoutMs: number
  /** Measures that time. Default: a timer. */
  readonly wait?: Wait
}

/** The least recently used of more agent identities is forgotten: its next exchange makes two requests in place of one. */
export const maxAgentAssertions = 10_000

/** An expired token is forgotten within this time, although no request follows. */
export const sweepEveryMs = 60_000

const kind: AssertionKind = {
  // The cache of the managed identity's token has done so.
  cachesFailures: false,
  // The request to Entra is hedged itself.
  hedgeAfterMs: undefined,
  late: ms =>
    new BrokerError('upstream_unavailable', `Entra did not issue the blueprint's token within ${ms} ms.`, {
      reason: 'timeout',
    }),
  expired: () =>
    new BrokerError('upstream_invalid', "The blueprint's token has already expired.", { reason: 'expired' }),
}

/**
 * Caches the tokens of blueprints, as the managed identity's is cached: one fetch at a time for each agent identity, and in
 * the background once the token is due. A token that has expired, or whose agent identity or blueprint the policy does not have
 * any more, does not stay in memory.
 */
export function createAgentAssertions(options: AgentAssertionsOptions): AgentAssertions {
  const { isKnown } = options
  const entries = createLru<string, { readonly place: AgentPlace; readonly source: AssertionCacheSource }>(
    maxAgentAssertions,
  )
  let timer: NodeJS.Timeout | undefined
  const close = (): void => {
    clearInterval(timer)
    timer = undefined
  }
  const forget = (isForgotten: (place: AgentPlace, source: AssertionCacheSource) => boolean): void => {
    const forgotten: string[] = []
    entries.forEach(({ place, source }, key) => {
      if (isForgotten(place, source)) forgotten.push(key)
    })
    for (const key of forgotten) entries.delete(key)
    if (entries.size === 0) close()
  }
  const sweep = (): void => forget((place, source) => !isKnown(place) || source.isEmpty())
  return {
    of: (place, fetch) => {
      // An exchange can begin after the policy has changed: its grant was made before.
      if (!isKnown(place)) return undefined
      const key = `${place.clientId} ${place.agentId} ${place.tenant}`
      const known = entries.get(key)
      if (known) return known.source
      const source = createAssertionCache(fetch, { ...options, kind, fetched: () => undefined })
      entries.set(key, { place, source })
      timer ??= setInterval(sweep, sweepEveryMs).unref()
      return source
    },
    purge: filter => {
      // The token is for every scope.
      const { scope: _scope, ...places } = filter
      forget(place => matches(place, places))
    },
    sweep,
    close,
  }
}
