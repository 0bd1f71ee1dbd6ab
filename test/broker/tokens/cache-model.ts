import { matches } from '../../../src/broker/tokens/negative-cache.ts'
import type { FetchFilter } from '../../../src/broker/events.ts'
import type { FailureLevel } from '../../../src/reasons/row.ts'
import type { Moment } from '../../../src/broker/tokens/freshness.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'

/** A fetch that the source was asked for. `began` counts whatever happens, one after the other. */
export interface Fetch {
  readonly grant: Grant
  readonly began: number
  readonly asked: Moment
  /** Whether it was forgotten while it was under way. */
  purged: boolean
  readonly promise: PromiseWithResolvers<IssuedToken>
}

/** A token that the source handed over. Times in milliseconds. */
export interface ModelToken {
  readonly text: string
  readonly grant: Grant
  readonly began: number
  readonly ends: Moment
  readonly minRemaining: number
  /** Not due before so much of its life is over, and due after so much. */
  readonly dueBetween: readonly [least: number, most: number]
  readonly asked: Moment
}

/** How a fetch fails: where that is remembered, and for how many milliseconds at least and at most. */
export interface Remembered {
  readonly level: FailureLevel
  readonly least: number
  readonly most: number
}

interface ModelRecord {
  readonly place: FetchFilter
  readonly made: number
  readonly least: number
  most: number
}

const placesOf = ({ clientId, tenant, scope }: Grant): Readonly<Record<FailureLevel, FetchFilter>> => ({
  application: { clientId },
  tenant: { clientId, tenant },
  key: { clientId, tenant, scope },
})

/**
 * What the cache should hold and remember, in plain words: the token that lives longer stays; a failure stands for a
 * time; a success disproves it; a purge takes away both, and whatever comes of fetches that began before it.
 */
export class CacheModel {
  readonly #held = new Map<string, ModelToken>()
  readonly #records = new Map<string, ModelRecord>()
  readonly #tried = new Set<ModelToken>()
  readonly tokens = new Map<string, ModelToken>()
  readonly open = new Set<Fetch>()

  /** The token that must be served for a key, if there is one. */
  held(key: string, now: Moment): ModelToken | undefined {
    const token = this.#held.get(key)
    return token && remaining(token, now) > token.minRemaining ? token : undefined
  }

  openFor(key: string): readonly Fetch[] {
    return [...this.open].filter(fetch => fetch.grant.key === key)
  }

  /** A fetch handed over a token. Nothing of it is kept where it has no life left, or began before a purge. */
  landed(fetch: Fetch, issued: IssuedToken, now: Moment, step: number): void {
    this.open.delete(fetch)
    const token = tokenOf(fetch, issued)
    if (remaining(token, now) <= token.minRemaining) {
      return this.#remember(fetch, { level: 'key', least: 30_000, most: 60_000 }, now, step)
    }
    this.tokens.set(token.text, token)
    if (fetch.purged) return
    for (const place of Object.values(placesOf(fetch.grant))) this.#records.delete(JSON.stringify(place))
    const { key } = fetch.grant
    const held = this.held(key, now)
    if (held) this.#tried.add(held)
    const outlives =
      held && held.ends.monotonic >= token.ends.monotonic && held.ends.now >= token.ends.now ? held : token
    this.#held.set(key, outlives)
  }

  failed(fetch: Fetch, remembered: Remembered | undefined, now: Moment, step: number): void {
    this.open.delete(fetch)
    const held = this.#held.get(fetch.grant.key)
    if (held) this.#tried.add(held)
    this.#remember(fetch, remembered, now, step)
  }

  purge(filter: FetchFilter): void {
    for (const [key, { grant }] of this.#held) if (matches(grant, filter)) this.#held.delete(key)
    for (const [key, { place }] of this.#records) if (matches(place, filter)) this.#records.delete(key)
    for (const fetch of this.open) fetch.purged ||= matches(fetch.grant, filter)
  }

  /** Whether a failure is surely remembered that stands in the way of this. */
  mustStand(grant: Grant, now: Moment): boolean {
    return this.#recordsOf(grant).some(({ least }) => now.monotonic < least)
  }

  /** Whether one may be: while its time is not surely over, or somebody is finding out. */
  mayStand(grant: Grant, now: Moment): boolean {
    return this.#recordsOf(grant).some(
      ({ place, most }) => now.monotonic < most || [...this.open].some(fetch => matches(fetch.grant, place)),
    )
  }

  /** Whether a refresh of this token was tried, so that the next one may have to wait. */
  tried = (token: ModelToken): boolean => this.#tried.has(token)
  /** The same for one that was refused from memory. */
  markTried = (token: ModelToken): void => void this.#tried.add(token)

  #recordsOf(grant: Grant): readonly ModelRecord[] {
    return Object.values(placesOf(grant)).flatMap(place => this.#records.get(JSON.stringify(place)) ?? [])
  }

  #remember(fetch: Fetch, remembered: Remembered | undefined, { monotonic }: Moment, step: number): void {
    if (fetch.purged) return
    // Whoever probed another failure makes that one stand a little longer.
    for (const record of this.#recordsOf(fetch.grant)) record.most = Math.max(record.most, monotonic + 2_000)
    if (remembered === undefined) return
    const place = placesOf(fetch.grant)[remembered.level]
    const key = JSON.stringify(place)
    if ((this.#records.get(key)?.made ?? -1) > fetch.began) return
    const { least, most } = remembered
    this.#records.set(key, { place, made: step, least: monotonic + least, most: monotonic + most })
  }
}

/** Milliseconds by whichever clock says less. */
export const remaining = ({ ends }: ModelToken, now: Moment): number =>
  Math.min(ends.now - now.now, ends.monotonic - now.monotonic)

function tokenOf({ grant, began, asked }: Fetch, { token, expiresIn, expiresAt, refreshIn }: IssuedToken): ModelToken {
  const life = Math.min(expiresIn * 1000, (expiresAt ?? Infinity) - asked.now)
  const minRemaining = Math.min(60_000, life / 10)
  const latest = 0.95 * (life - minRemaining)
  const wanted = refreshIn === undefined ? life * (life < 300_000 ? 0.5 : 0.75) : Math.min(refreshIn * 1000, life)
  return {
    text: token,
    grant,
    began,
    asked,
    ends: { now: asked.now + life, monotonic: asked.monotonic + life },
    minRemaining,
    dueBetween: [Math.min(wanted * 0.9, latest), Math.min(wanted * 1.1, latest)],
  }
}
