import { matches } from '../../../src/broker/tokens/negative-cache/records.ts'
import type { FetchFilter } from '../../../src/broker/events.ts'
import type { FailureLevel } from '../../../src/reasons/row.ts'
import type { Moment } from '../../../src/broker/tokens/freshness.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'

/** A call of the source. `began` is the number of the step in which it started. */
export interface Fetch {
  readonly grant: Grant
  readonly began: number
  readonly requestedAt: Moment
  /** Whether it may be a probe, made in spite of a cached failure. Then it does not count as the fetch of its key. */
  readonly maybeProbe: boolean
  /** Whether it was purged while it was under way. */
  purged: boolean
  readonly promise: PromiseWithResolvers<IssuedToken>
}

/** A token that the source issued. Times in milliseconds. */
export interface ModelToken {
  readonly text: string
  readonly grant: Grant
  readonly began: number
  readonly ends: Moment
  readonly minRemaining: number
  /** It becomes due when its age is between these. */
  readonly dueBetween: readonly [least: number, most: number]
  readonly requestedAt: Moment
}

/** For what a failure must be cached, and for how many milliseconds at least and at most. */
export interface CachedAs {
  readonly level: FailureLevel
  readonly least: number
  readonly most: number
  /** Whether it ends early if another key is served, and may be probed before it ends. */
  readonly outage?: boolean
}

interface ModelRecord {
  readonly place: FetchFilter
  readonly made: number
  readonly outage: boolean
  least: number
  most: number
}

const placesOf = ({ clientId, tenant, scope }: Grant): Readonly<Record<FailureLevel, FetchFilter>> => ({
  application: { clientId },
  tenant: { clientId, tenant },
  key: { clientId, tenant, scope },
})

/**
 * What the cache must contain. The token that lives longer stays. A failure is cached for a time; a success removes it, and
 * ends those of an outage of other keys. A purge removes tokens, failures, and the results of fetches that are under way.
 */
export class CacheModel {
  readonly #cached = new Map<string, ModelToken>()
  readonly #records = new Map<string, ModelRecord>()
  readonly #tried = new Set<ModelToken>()
  readonly tokens = new Map<string, ModelToken>()
  readonly open = new Set<Fetch>()

  /** The token that must be served for a key, if there is one. */
  cached(key: string, now: Moment): ModelToken | undefined {
    const token = this.#cached.get(key)
    return token && remaining(token, now) > token.minRemaining ? token : undefined
  }

  openFor(key: string): readonly Fetch[] {
    return [...this.open].filter(fetch => fetch.grant.key === key)
  }

  /** A fetch returned a token. It is not stored if it has expired, or if the fetch started before a purge. */
  succeeded(fetch: Fetch, issued: IssuedToken, now: Moment, step: number): void {
    this.open.delete(fetch)
    const token = tokenOf(fetch, issued)
    if (remaining(token, now) <= token.minRemaining) {
      return this.#cacheFailure(fetch, { level: 'key', least: 30_000, most: 60_000 }, now, step)
    }
    this.tokens.set(token.text, token)
    for (const record of this.#records.values()) if (record.outage) record.least = Math.min(record.least, now.monotonic)
    if (fetch.purged) return
    for (const place of Object.values(placesOf(fetch.grant))) this.#records.delete(JSON.stringify(place))
    const { key } = fetch.grant
    const cached = this.cached(key, now)
    if (cached) this.#tried.add(cached)
    const longerLived =
      cached && cached.ends.monotonic >= token.ends.monotonic && cached.ends.now >= token.ends.now ? cached : token
    this.#cached.set(key, longerLived)
  }

  failed(fetch: Fetch, expected: CachedAs | undefined, now: Moment, step: number): void {
    this.open.delete(fetch)
    const cached = this.#cached.get(fetch.grant.key)
    if (cached) this.#tried.add(cached)
    this.#cacheFailure(fetch, expected, now, step)
  }

  purge(filter: FetchFilter): void {
    for (const [key, { grant }] of this.#cached) if (matches(grant, filter)) this.#cached.delete(key)
    for (const [key, { place }] of this.#records) if (matches(place, filter)) this.#records.delete(key)
    for (const fetch of this.open) fetch.purged ||= matches(fetch.grant, filter)
  }

  /** Whether a failure for this grant must be in the negative cache: of an outage, or for another reason. */
  mustFail(grant: Grant, now: Moment, of: { readonly outage: boolean }): boolean {
    return this.#recordsOf(grant).some(({ least, outage }) => outage === of.outage && now.monotonic < least)
  }

  /** Whether the failure of an outage may be in the negative cache for this grant, so that a fetch may be a probe. */
  mayProbe(grant: Grant, now: Moment): boolean {
    return this.#recordsOf(grant).some(({ most, outage }) => outage && now.monotonic < most)
  }

  /** Whether one may be: its longest period is not over, or a probe is under way. */
  mayFail(grant: Grant, now: Moment): boolean {
    return this.#recordsOf(grant).some(
      ({ place, most }) => now.monotonic < most || [...this.open].some(fetch => matches(fetch.grant, place)),
    )
  }

  /** Whether a refresh of this token was tried, so that the next one may have to wait. */
  tried = (token: ModelToken): boolean => this.#tried.has(token)
  /** The same for a refresh that the negative cache prevented. */
  markTried = (token: ModelToken): void => void this.#tried.add(token)

  #recordsOf(grant: Grant): readonly ModelRecord[] {
    return Object.values(placesOf(grant)).flatMap(place => this.#records.get(JSON.stringify(place)) ?? [])
  }

  #cacheFailure(fetch: Fetch, expected: CachedAs | undefined, { monotonic }: Moment, step: number): void {
    if (fetch.purged) return
    // A probe that fails for another reason prolongs the failure by 2 s at most.
    for (const record of this.#recordsOf(fetch.grant)) record.most = Math.max(record.most, monotonic + 2_000)
    if (expected === undefined) return
    const place = placesOf(fetch.grant)[expected.level]
    const key = JSON.stringify(place)
    if ((this.#records.get(key)?.made ?? -1) > fetch.began) return
    const { least, most, outage = false } = expected
    const known = this.#records.get(key)
    // A probe before its time does not make the back-off longer.
    const isEarly = outage && fetch.maybeProbe && known?.outage === true
    const from = isEarly ? Math.min(known.least, monotonic + least) : monotonic + least
    const to = isEarly ? Math.max(known.most, monotonic + most) : monotonic + most
    this.#records.set(key, { place, made: step, outage, least: from, most: to })
  }
}

/** Milliseconds until the end, by the clock that leaves less time. */
export const remaining = ({ ends }: ModelToken, now: Moment): number =>
  Math.min(ends.now - now.now, ends.monotonic - now.monotonic)

function tokenOf(
  { grant, began, requestedAt }: Fetch,
  { token, expiresIn, expiresAt, refreshIn }: IssuedToken,
): ModelToken {
  const life = Math.min(expiresIn * 1000, (expiresAt ?? Infinity) - requestedAt.now)
  const minRemaining = Math.min(60_000, life / 10)
  const latest = 0.95 * (life - minRemaining)
  const wanted = refreshIn === undefined ? life * (life < 300_000 ? 0.5 : 0.75) : Math.min(refreshIn * 1000, life)
  return {
    text: token,
    grant,
    began,
    requestedAt,
    ends: { now: requestedAt.now + life, monotonic: requestedAt.monotonic + life },
    minRemaining,
    dueBetween: [Math.min(wanted * 0.9, latest), Math.min(wanted * 1.1, latest)],
  }
}
