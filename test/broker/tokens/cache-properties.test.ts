import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import type { Served } from '../../../src/broker/tokens/cached-token.ts'
import type { FetchFilter } from '../../../src/broker/events.ts'
import { momentOf } from '../../../src/broker/tokens/freshness.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'
import { movableClock } from '../../support/clock.ts'
import { runs } from '../../support/runs.ts'
import { CacheModel, type Fetch, type ModelToken, remaining } from './cache-model.ts'
import { failures, grants, keys, type Step, steps } from './cache-script.ts'

/** The cache over a source that a script controls, and the model that says what the cache may do. */
class Run {
  readonly #clock = movableClock()
  readonly #model = new CacheModel()
  readonly #concurrency: number
  readonly #cache
  /** Requests that wait for a response. */
  pending = 0
  #step = 0
  #fetches = 0
  #problem: unknown
  #jumped = -1
  #lastProbe = Number.NEGATIVE_INFINITY
  readonly #purged = new Map<string, number[]>()
  readonly #replaced = new Map<string, number>()
  /** Keys that were requested while a probe was allowed. If fetches queue, it may start long after that. */
  readonly #probed = new Set<string>()

  constructor(seed: number, concurrency: number) {
    this.#concurrency = concurrency
    let state = seed
    this.#cache = createCache(grant => this.#fetch(grant), {
      clock: this.#clock,
      random: () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647,
      maxEntries: 100,
      minRemainingSeconds: 60,
      timeoutMs: 10_000,
      concurrency,
      events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
    })
  }

  async take(step: Step): Promise<void> {
    this.#step++
    this.#do(step)
    await new Promise(resolve => setImmediate(resolve))
    if (this.#problem !== undefined) throw this.#problem
  }

  /** Lets all open fetches succeed, and those that start meanwhile. */
  async end(): Promise<void> {
    for (let rounds = 0; this.#model.open.size > 0 && rounds < 100; rounds++) {
      await this.take({ do: 'succeed', which: 0, expiresIn: 3600, refreshIn: undefined, earlier: undefined })
    }
    assert.equal(this.pending, 0, 'a request waits for ever')
    const { fetching, load } = this.#cache.view.statistics()
    assert.deepEqual([fetching, load], [0, { running: 0, waiting: 0, background: 0 }])
  }

  #now = () => momentOf(this.#clock)

  /** Whether fetches wait for one another. */
  get #queues(): boolean {
    return this.#concurrency < keys.length * 10
  }

  #do(step: Step): void {
    const fetch = 'which' in step ? [...this.#model.open][step.which % Math.max(1, this.#model.open.size)] : undefined
    if (step.do === 'request') this.#request(grants[step.key]?.[step.caller] ?? assert.fail(), step.minExpiresIn)
    else if (step.do === 'pass') this.#clock.advance(step.ms)
    else if (step.do === 'jump') this.#jump(step.ms)
    else if (step.do === 'succeed' && fetch) this.#succeed(fetch, step)
    else if (step.do === 'fail' && fetch) {
      const [error, cached] = failures[step.how] ?? assert.fail()
      this.#model.failed(fetch, cached, this.#now(), this.#step)
      fetch.promise.reject(error)
    } else if (step.do === 'purge') this.#purge(step)
  }

  #jump(ms: number): void {
    this.#clock.jumpWall(ms)
    this.#jumped = this.#step
  }

  #fetch(grant: Grant): Promise<IssuedToken> {
    const now = this.#now()
    const maybeProbe = this.#model.mayProbe(grant, now) || (this.#queues && this.#probed.has(grant.key))
    try {
      assert.ok(
        !this.#model.mustFail(grant, now, { outage: false }),
        'no fetch is made while a failure is cached for it',
      )
      if (this.#model.mustFail(grant, now, { outage: true })) this.#checkProbe(now.monotonic)
      assert.ok(this.#model.open.size < this.#concurrency, 'more fetches at once than allowed')
      assert.ok(!this.#isFetching(grant.key), 'two fetches for one key')
    } catch (thrown) {
      this.#problem ??= thrown
    }
    const promise = Promise.withResolvers<IssuedToken>()
    this.#fetches++
    this.#model.open.add({ grant, began: this.#step, requestedAt: now, maybeProbe, purged: false, promise })
    return promise.promise
  }

  #isFetching(key: string): boolean {
    return this.#model.openFor(key).some(({ purged, maybeProbe }) => !purged && !maybeProbe)
  }

  /** If fetches queue, the model does not know when a probe was allowed. */
  #checkProbe(now: number): void {
    assert.ok(now >= this.#lastProbe + 1000 || this.#queues, 'one probe in a second')
    this.#lastProbe = now
  }

  #succeed(fetch: Fetch, { expiresIn, refreshIn, earlier }: Step & { do: 'succeed' }): void {
    const issued = {
      token: `${fetch.grant.key} #${this.#step}`,
      expiresIn,
      ...(refreshIn !== undefined && { refreshIn }),
      ...(earlier !== undefined && { expiresAt: fetch.requestedAt.now + (expiresIn - earlier) * 1000 }),
    }
    this.#model.succeeded(fetch, issued, this.#now(), this.#step)
    fetch.promise.resolve(issued)
  }

  /** If fetches queue, the model does not know which of them a purge affects. Then there are no purges. */
  #purge({ key, parts }: Step & { do: 'purge' }): void {
    if (this.#queues) return
    const grant = grants[key]?.[0] ?? assert.fail()
    const filter: FetchFilter = Object.fromEntries(parts.map(part => [part, grant[part]]))
    this.#model.purge(filter)
    this.#cache.purge(filter)
    for (const [{ key: other, ...place }] of grants as readonly (readonly [Grant])[]) {
      if (parts.every(part => place[part] === grant[part])) {
        this.#purged.set(other, [...(this.#purged.get(other) ?? []), this.#step])
        this.#replaced.delete(other)
      }
    }
  }

  #request(grant: Grant, minExpiresIn: number): void {
    const { key } = grant
    const now = this.#now()
    const cached = this.#model.cached(key, now)
    const isFetching = this.#model.openFor(key).some(({ purged }) => !purged)
    const mayFail = this.#model.mayFail(grant, now)
    if (this.#model.mayProbe(grant, now)) this.#probed.add(key)
    const fetches = this.#fetches
    const step = this.#step
    const served = this.#cache.get(grant, minExpiresIn)
    const caused = this.#fetches > fetches
    if (cached === undefined) {
      const queued = this.#model.open.size >= this.#concurrency
      assert.ok(caused || isFetching || mayFail || queued, 'a failure is not cached for ever')
      return this.#waitFor(served, grant, minExpiresIn, step)
    }
    const age = Math.max(now.now - cached.requestedAt.now, now.monotonic - cached.requestedAt.monotonic)
    if (remaining(cached, now) >= minExpiresIn * 1000) {
      assert.ok(!(served instanceof Promise), 'no request waits while a valid token is cached')
      assert.equal(served.token.token, cached.text)
      assert.ok(!caused || age >= cached.dueBetween[0], 'a fresh token is not replaced')
      this.#expectRefresh(cached, age > cached.dueBetween[1], caused || isFetching)
    } else {
      if (caused) this.#replacedNow(key, now.monotonic)
      this.#waitFor(served, grant, minExpiresIn, step)
    }
  }

  /** The first request for a due token starts its refresh, unless a failure is cached. */
  #expectRefresh(cached: ModelToken, isDue: boolean, isFetching: boolean): void {
    if (!isDue || isFetching || this.#model.tried(cached)) return
    const queued = this.#model.open.size >= this.#concurrency / 2
    assert.ok(queued || this.#model.mayFail(cached.grant, this.#now()), 'a due token that is requested is refreshed')
    this.#model.markTried(cached)
  }

  #replacedNow(key: string, now: number): void {
    const last = this.#replaced.get(key)
    assert.ok(last === undefined || now - last >= 60_000, 'min_expires_in costs one fetch a minute')
    this.#replaced.set(key, now)
  }

  #waitFor(served: Served | Promise<Served>, grant: Grant, minExpiresIn: number, step: number): void {
    assert.ok(served instanceof Promise, 'there is nothing to serve')
    this.pending++
    const check = (judge: () => void) => {
      this.pending--
      try {
        judge()
      } catch (thrown) {
        this.#problem ??= thrown
      }
    }
    served.then(
      ({ token }) => check(() => this.#judgeToken(token.token, grant, minExpiresIn, step)),
      (thrown: unknown) => check(() => this.#judgeFailure(thrown, grant, minExpiresIn, step)),
    )
  }

  #judgeToken(text: string, { key }: Grant, minExpiresIn: number, step: number): void {
    const token = this.#model.tokens.get(text) ?? assert.fail(`a token that was never issued: ${text}`)
    assert.equal(token.grant.key, key, "another key's token")
    const left = remaining(token, this.#now())
    assert.ok(left > token.minRemaining, 'a token below its minimum life')
    assert.ok(left >= minExpiresIn * 1000, 'less life than requested')
    const purges = (this.#purged.get(key) ?? []).filter(purge => purge < step)
    assert.ok(token.began > Math.max(-1, ...purges), 'a token that was fetched before a purge')
  }

  /** A cached token counts when the request is made: a wall clock that jumps back later does not revive it. */
  #judgeFailure(thrown: unknown, { key }: Grant, minExpiresIn: number, step: number): void {
    if (this.#jumped > step) return
    const cached = this.#model.cached(key, this.#now())
    const serves = cached !== undefined && remaining(cached, this.#now()) >= minExpiresIn * 1000
    assert.ok(!serves, `a failure while a valid token is cached: ${String(thrown)}`)
  }
}

for (const [concurrency, why] of [
  [1000, 'nothing queues'],
  [2, 'two fetches at once'],
] as const) {
  test(`for any sequence of events the cache keeps its promises: ${why}`, async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 1_000_000 }), async (script, seed) => {
        const run = new Run(seed, concurrency)
        for (const step of script) await run.take(step)
        await run.end()
      }),
      { numRuns: runs(200) },
    )
  })
}
