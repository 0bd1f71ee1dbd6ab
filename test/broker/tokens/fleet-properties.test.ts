import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import { createCache, type ManagedCache } from '../../../src/broker/tokens/cache.ts'
import type { Served } from '../../../src/broker/tokens/cached-token.ts'
import type { FetchFilter, IssuedToken } from '../../../src/broker/events.ts'
import { matches } from '../../../src/broker/tokens/negative-cache/records.ts'
import { movableClock, type MovableClock } from '../../support/clock.ts'
import { leaseMs, type MemorySecondLevel, MemoryStore } from '../../support/memory-second-level.ts'
import { runs } from '../../support/runs.ts'
import { settled, unavailable } from './cache-world.ts'
import { type Exchange, FleetModel, type Purge } from './fleet-model.ts'
import { grants, replicaCount, type Step, steps } from './fleet-script.ts'

interface Replica {
  readonly clock: MovableClock
  readonly secondLevel: MemorySecondLevel
  readonly cache: ManagedCache
  /** Purges that it need not know yet: it was cut off when they were acknowledged. */
  readonly missed: Set<Purge>
}

interface OpenExchange extends Exchange {
  readonly by: Replica
  readonly promise: PromiseWithResolvers<IssuedToken>
  /** Whether it has the lease of its key, as far as is known here. */
  isLeased: boolean
}

/** Three replicas over a source and a store that a script controls. */
class Run {
  readonly #trueClock = movableClock()
  readonly #store = new MemoryStore(this.#trueClock)
  readonly #replicas: readonly Replica[]
  readonly #open = new Set<OpenExchange>()
  readonly #model = new FleetModel()
  readonly #purges: Purge[] = []
  #gates: PromiseWithResolvers<void>[] = []
  #isDelayed = false
  /** What was cached and valid when the present step began. */
  #wasValid: ReadonlySet<string> = new Set()
  #mayExchangeTwice = false
  /** Numbers everything that happens. */
  #moment = 0
  #problem: unknown
  pending = 0

  constructor(seed: number) {
    let state = seed
    const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
    this.#store.latency = () => this.#delay()
    this.#replicas = Array.from({ length: replicaCount }, () => this.#replica(random))
  }

  async take(step: Step): Promise<void> {
    this.#moment++
    const all = this.#replicas.flatMap(replica => grants.map(grant => [replica, grant] as const))
    const valid = all.filter(([replica, grant]) => this.#isValid(replica, grant))
    this.#wasValid = new Set(valid.map(([replica, grant]) => nameOf(replica, grant)))
    this.#do(step)
    await settled()
    if (this.#problem !== undefined) throw this.#problem
  }

  /** The store comes back, and all exchanges succeed: then every request gets its response. */
  async end(): Promise<void> {
    await this.take({ do: 'delay', isDelayed: false })
    for (let replica = 0; replica < replicaCount; replica++) await this.take({ do: 'reconnect', replica })
    for (let rounds = 0; (this.#open.size > 0 || this.pending > 0) && rounds < 100; rounds++) {
      for (const exchange of this.#open) exchange.isLeased = false
      this.#store.expireLeases()
      await this.take({ do: 'succeed', which: 0, expiresIn: 3600, refreshIn: undefined, isOpaque: false })
    }
    await settled()
    assert.equal(this.pending, 0, 'a request waits for ever')
    for (const { cache } of this.#replicas) assert.equal(cache.view.statistics().fetching, 0)
  }

  #replica(random: () => number): Replica {
    const clock = movableClock()
    const secondLevel = this.#store.replica(clock)
    const cache = createCache(grant => this.#exchange(replica, grant), {
      clock,
      random,
      maxEntries: 100,
      minRemainingSeconds: 60,
      timeoutMs: 10_000,
      concurrency: 64,
      events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
      secondLevel,
    })
    const replica: Replica = { clock, secondLevel, cache, missed: new Set() }
    return replica
  }

  #delay(): Promise<void> {
    if (!this.#isDelayed) return Promise.resolve()
    const gate = Promise.withResolvers<void>()
    this.#gates.push(gate)
    return gate.promise
  }

  #do(step: Step): void {
    const replica = 'replica' in step ? (this.#replicas[step.replica] ?? assert.fail()) : undefined
    const exchange = 'which' in step ? [...this.#open][step.which % Math.max(1, this.#open.size)] : undefined
    if (step.do === 'pass') this.#pass(step.ms)
    else if (step.do === 'succeed' && exchange) this.#settle(exchange).resolve(this.#model.issue(exchange, step))
    else if (step.do === 'fail' && exchange) this.#settle(exchange).reject(unavailable())
    else if (step.do === 'restart') this.#restart()
    else if (step.do === 'delay') this.#setDelayed(step.isDelayed)
    else if (step.do === 'deliver') this.#gates.splice(step.which % Math.max(1, this.#gates.length), 1)[0]?.resolve()
    else if (replica) this.#doAt(replica, step)
  }

  #doAt(replica: Replica, step: Step): void {
    const grant = 'key' in step ? (grants[step.key] ?? assert.fail()) : undefined
    if (step.do === 'request' && grant) this.#request(replica, grant, step.minExpiresIn)
    else if (step.do === 'purge' && grant) void this.#purge(replica, grant, step.parts)
    else if (step.do === 'jump') {
      this.#mayExchangeTwice = true
      replica.clock.jumpWall(step.ms)
    } else if (step.do === 'cutOff') {
      replica.secondLevel.cutOff()
      for (const exchange of this.#open) if (exchange.by === replica) exchange.isLeased = false
    } else if (step.do === 'reconnect') {
      replica.secondLevel.reconnect()
      replica.missed.clear()
    }
  }

  #pass(ms: number): void {
    // What is delivered then may have expired on the way, which does not happen in less than a second.
    if (this.#gates.length > 0 && ms > 1000) this.#mayExchangeTwice = true
    for (const { advance } of [this.#trueClock, ...this.#replicas.map(({ clock }) => clock)]) advance(ms)
    this.#store.expireLeases(this.#trueClock.monotonic())
  }

  #setDelayed(isDelayed: boolean): void {
    this.#isDelayed = isDelayed
    if (isDelayed) return
    for (const gate of this.#gates) gate.resolve()
    this.#gates = []
  }

  #restart(): void {
    for (const exchange of this.#open) exchange.isLeased = false
    this.#store.restart()
  }

  #exchange(by: Replica, grant: Grant): Promise<IssuedToken> {
    const trueAt = this.#trueClock.now()
    const isLeased = by.secondLevel.isConnected
    const inForce = [...this.#open].filter(
      other => other.isLeased && other.grant.key === grant.key && trueAt < other.trueAt + leaseMs,
    )
    // Where clocks differ, a replica may need a token of its own.
    if (isLeased && !this.#mayExchangeTwice)
      this.#check(() => assert.deepEqual(inForce, [], 'two exchanges for one key'))
    const promise = Promise.withResolvers<IssuedToken>()
    this.#open.add({ grant, by, began: ++this.#moment, issuedAt: by.clock.now(), trueAt, promise, isLeased })
    return promise.promise
  }

  #settle(exchange: OpenExchange): PromiseWithResolvers<IssuedToken> {
    this.#open.delete(exchange)
    return exchange.promise
  }

  async #purge(replica: Replica, grant: Grant, parts: readonly (keyof FetchFilter)[]): Promise<void> {
    const filter: FetchFilter = Object.fromEntries(parts.map(part => [part, grant[part]]))
    const purge: Purge = { filter, began: this.#moment }
    const { reach } = await replica.cache.purgeEverywhere(filter)
    // Without the store, nothing is promised.
    if (reach?.live === undefined) return
    this.#purges.push(purge)
    const cutOff = this.#replicas.filter(({ secondLevel }) => !secondLevel.isConnected)
    for (const { missed } of cutOff) missed.add(purge)
  }

  #request(replica: Replica, grant: Grant, minExpiresIn: number): void {
    const known = this.#purges.filter(purge => matches(grant, purge.filter) && !replica.missed.has(purge))
    const judge = ({ token }: Served) => this.#model.judge(token.token, grant, replica.clock.now(), known)
    const served = replica.cache.get(grant, minExpiresIn)
    if (!(served instanceof Promise)) return this.#check(() => judge(served))
    if (minExpiresIn === 0) {
      this.#check(() => assert.ok(!this.#isValid(replica, grant), 'a request waits while a valid token is cached'))
    }
    this.pending++
    served.then(
      token => this.#settled(() => judge(token)),
      () => this.#settled(() => this.#judgeFailure(replica, grant, minExpiresIn)),
    )
  }

  #settled(judge: () => void): void {
    this.pending--
    this.#check(judge)
  }

  #judgeFailure(replica: Replica, grant: Grant, minExpiresIn: number): void {
    if (minExpiresIn > 0) return
    const isValid = this.#wasValid.has(nameOf(replica, grant)) && this.#isValid(replica, grant)
    assert.ok(!isValid, 'a failure while a valid token is cached')
  }

  #isValid({ cache }: Replica, { tenant, scope }: Grant): boolean {
    const { entries } = cache.view.page({ tenant, limit: 100 })
    return entries.some(entry => entry.scope === scope && entry.state !== 'expired')
  }

  #check(judge: () => void): void {
    try {
      judge()
    } catch (thrown) {
      this.#problem ??= thrown
    }
  }
}

const nameOf = ({ secondLevel }: Replica, { key }: Grant): string => `${secondLevel.name} ${key}`

test('for any sequence of events, replicas that share a second level keep their promises', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 1_000_000 }), async (script, seed) => {
      const run = new Run(seed)
      for (const step of script) await run.take(step)
      await run.end()
    }),
    { numRuns: runs(500) },
  )
})
