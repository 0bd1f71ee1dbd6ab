import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { createCache, type Served } from '../../../src/broker/tokens/cache.ts'
import type { FetchFilter } from '../../../src/broker/events.ts'
import { momentOf } from '../../../src/broker/tokens/freshness.ts'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../../src/broker/events.ts'
import { movableClock } from '../../support/clock.ts'
import { runs } from '../../support/runs.ts'
import { CacheModel, type Fetch, type ModelToken, remaining } from './cache-model.ts'
import { failures, grants, keys, type Step, steps } from './cache-script.ts'

/** The cache over a source that a script drives, and the model that says what it may do. */
class Run {
  readonly #clock = movableClock()
  readonly #model = new CacheModel()
  readonly #concurrency: number
  readonly #cache
  /** Whoever was asked for and has no answer yet. */
  pending = 0
  #step = 0
  #fetches = 0
  #problem: unknown
  #jumped = -1
  readonly #purged = new Map<string, number[]>()
  readonly #replaced = new Map<string, number>()

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

  /** Answers whatever is still open, and whatever begins then. */
  async end(): Promise<void> {
    for (let rounds = 0; this.#model.open.size > 0 && rounds < 100; rounds++) {
      await this.take({ do: 'succeed', which: 0, expiresIn: 3600, refreshIn: undefined, earlier: undefined })
    }
    assert.equal(this.pending, 0, 'somebody waits for ever')
    const { fetching, load } = this.#cache.view.statistics()
    assert.deepEqual([fetching, load], [0, { running: 0, waiting: 0, background: 0 }])
  }

  #now = () => momentOf(this.#clock)

  #do(step: Step): void {
    const fetch = 'which' in step ? [...this.#model.open][step.which % Math.max(1, this.#model.open.size)] : undefined
    if (step.do === 'ask') this.#ask(grants[step.key]?.[step.caller] ?? assert.fail(), step.minExpiresIn)
    else if (step.do === 'pass') this.#clock.advance(step.ms)
    else if (step.do === 'jump') this.#jump(step.ms)
    else if (step.do === 'succeed' && fetch) this.#succeed(fetch, step)
    else if (step.do === 'fail' && fetch) {
      const [error, remembered] = failures[step.how] ?? assert.fail()
      this.#model.failed(fetch, remembered, this.#now(), this.#step)
      fetch.promise.reject(error)
    } else if (step.do === 'purge') this.#purge(step)
  }

  #jump(ms: number): void {
    this.#clock.jumpWall(ms)
    this.#jumped = this.#step
  }

  #fetch(grant: Grant): Promise<IssuedToken> {
    try {
      assert.ok(!this.#model.mustStand(grant, this.#now()), 'a failure that is remembered is not tried again')
      assert.ok(this.#model.open.size < this.#concurrency, 'more fetches at once than allowed')
      assert.ok(!this.#model.openFor(grant.key).some(({ purged }) => !purged), 'two fetches for one key')
    } catch (thrown) {
      this.#problem ??= thrown
    }
    const promise = Promise.withResolvers<IssuedToken>()
    this.#fetches++
    this.#model.open.add({ grant, began: this.#step, asked: this.#now(), purged: false, promise })
    return promise.promise
  }

  #succeed(fetch: Fetch, { expiresIn, refreshIn, earlier }: Step & { do: 'succeed' }): void {
    const issued = {
      token: `${fetch.grant.key} #${this.#step}`,
      expiresIn,
      ...(refreshIn !== undefined && { refreshIn }),
      ...(earlier !== undefined && { expiresAt: fetch.asked.now + (expiresIn - earlier) * 1000 }),
    }
    this.#model.landed(fetch, issued, this.#now(), this.#step)
    fetch.promise.resolve(issued)
  }

  /** Where fetches queue, the model does not know which of them a purge met: there is none. */
  #purge({ key, parts }: Step & { do: 'purge' }): void {
    if (this.#concurrency < keys.length * 10) return
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

  #ask(grant: Grant, minExpiresIn: number): void {
    const { key } = grant
    const now = this.#now()
    const held = this.#model.held(key, now)
    const isFetching = this.#model.openFor(key).some(({ purged }) => !purged)
    const mayFail = this.#model.mayStand(grant, now)
    const fetches = this.#fetches
    const asked = this.#step
    const served = this.#cache.get(grant, minExpiresIn)
    const caused = this.#fetches > fetches
    if (held === undefined) {
      const queued = this.#model.open.size >= this.#concurrency
      assert.ok(caused || isFetching || mayFail || queued, 'a failure is not remembered for ever')
      return this.#waitFor(served, grant, minExpiresIn, asked)
    }
    const age = Math.max(now.now - held.asked.now, now.monotonic - held.asked.monotonic)
    if (remaining(held, now) >= minExpiresIn * 1000) {
      assert.ok(!(served instanceof Promise), 'nobody waits while a valid token is held')
      assert.equal(served.token.token, held.text)
      assert.ok(!caused || age >= held.dueBetween[0], 'a fresh token is not replaced')
      this.#expectRefresh(held, age > held.dueBetween[1], caused || isFetching)
    } else {
      if (caused) this.#replacedNow(key, now.monotonic)
      this.#waitFor(served, grant, minExpiresIn, asked)
    }
  }

  /** The first request for a due token begins its refresh, unless a failure is remembered. */
  #expectRefresh(held: ModelToken, isDue: boolean, isFetching: boolean): void {
    if (!isDue || isFetching || this.#model.tried(held)) return
    const queued = this.#model.open.size >= this.#concurrency / 2
    assert.ok(queued || this.#model.mayStand(held.grant, this.#now()), 'a due token that is asked for is replaced')
    this.#model.markTried(held)
  }

  #replacedNow(key: string, now: number): void {
    const last = this.#replaced.get(key)
    assert.ok(last === undefined || now - last >= 60_000, 'min_expires_in costs one fetch a minute')
    this.#replaced.set(key, now)
  }

  #waitFor(served: Served | Promise<Served>, grant: Grant, minExpiresIn: number, asked: number): void {
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
      ({ token }) => check(() => this.#judgeToken(token.token, grant, minExpiresIn, asked)),
      (thrown: unknown) => check(() => this.#judgeFailure(thrown, grant, minExpiresIn, asked)),
    )
  }

  #judgeToken(text: string, { key }: Grant, minExpiresIn: number, asked: number): void {
    const token = this.#model.tokens.get(text) ?? assert.fail(`a token that nobody issued: ${text}`)
    assert.equal(token.grant.key, key, "another key's token")
    const left = remaining(token, this.#now())
    assert.ok(left > token.minRemaining, 'a token below its minimum life')
    assert.ok(left >= minExpiresIn * 1000, 'less life than was asked for')
    const purges = (this.#purged.get(key) ?? []).filter(step => step < asked)
    assert.ok(token.began > Math.max(-1, ...purges), 'a token that was fetched before a purge')
  }

  /** What is held is judged when somebody asks: a wall clock that jumps later does not bring it back. */
  #judgeFailure(thrown: unknown, { key }: Grant, minExpiresIn: number, asked: number): void {
    if (this.#jumped > asked) return
    const held = this.#model.held(key, this.#now())
    const serves = held !== undefined && remaining(held, this.#now()) >= minExpiresIn * 1000
    assert.ok(!serves, `a failure while a token is held: ${String(thrown)}`)
  }
}

for (const [concurrency, why] of [
  [1000, 'nothing queues'],
  [2, 'two fetches at once'],
] as const) {
  test(`whatever happens, the cache keeps its promises: ${why}`, async () => {
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
