import type { Clock } from '../../broker/lib/clock.ts'
import type { CircuitState } from '../../broker/events.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import type { Handling } from '../../reasons/row.ts'

/** Keeps an authority that does not answer from being asked all the time. */
export interface Circuit {
  /**
   * Makes an exchange and judges how it went. While the circuit is open, and while its one probe is under way, it rejects
   * at once with `upstream_unavailable`, reason `circuit_open`, and the seconds until it is worth another attempt.
   *
   * @param tenant whose exchange it is: one tenant's trouble is not the authority's
   */
  readonly run: <T>(tenant: string, exchange: () => Promise<T>) => Promise<T>
  readonly state: () => CircuitState
  /** Milliseconds since 1970 at which it came into this state. */
  readonly since: () => number
}

/** When a circuit opens, and for how long. */
export interface CircuitOptions {
  readonly clock: Clock
  /** Told of every change. Must be quick and must not throw. */
  readonly changed?: (state: CircuitState, since: number) => void
  /** Milliseconds that count; default 10,000. */
  readonly windowMs?: number
  /** Exchanges within the window, of all tenants, below which it stays closed; default 10. */
  readonly minExchanges?: number
  /** Tenants in trouble below which it stays closed; default 3. */
  readonly minTenants?: number
  /** Share of the window's tenants in trouble from which it opens, 0…1; default 0.5. */
  readonly minShare?: number
  /** Milliseconds for which it is open; default 2,000. */
  readonly openMs?: number
  /** Milliseconds after which a probe that has not settled counts as lost; longer than any exchange. Default 90,000. */
  readonly probeMs?: number
}

/** What {@link CircuitOptions} are by default. */
export const circuitDefaults = {
  windowMs: 10_000,
  minExchanges: 10,
  minTenants: 3,
  minShare: 0.5,
  openMs: 2_000,
  probeMs: 90_000,
} satisfies Partial<CircuitOptions>

/** Outcomes that are kept, however many there are within the window. */
const maxOutcomes = 500

/**
 * A circuit for one authority. It opens when, within the window, enough exchanges were made and enough tenants are in
 * trouble, and those are a large enough part of the tenants seen. Each tenant counts once, by its last exchange, so that
 * one with many exchanges is not taken for many. It is half-open when the first exchange comes after its time, and what
 * becomes of that one decides. Exchanges that began before its last change decide nothing.
 *
 * Where fewer than `minTenants` are served at all it never opens.
 */
export function createCircuit(options: CircuitOptions): Circuit {
  return new AuthorityCircuit(options)
}

interface Outcome {
  readonly at: number
  readonly tenant: string
  readonly trouble: boolean
}

/** An exchange that was let through, and under which change of state it was. */
interface Passage {
  readonly change: number
}

class AuthorityCircuit implements Circuit {
  readonly #options: CircuitOptions & typeof circuitDefaults
  #state: CircuitState = 'closed'
  #since: number
  /** Counts changes of state. */
  #change = 0
  #outcomes: Outcome[] = []
  #openUntil = 0
  #probe: { readonly passage: Passage; readonly until: number } | undefined

  constructor(options: CircuitOptions) {
    this.#options = { ...circuitDefaults, ...options }
    this.#since = options.clock.now()
  }

  state = (): CircuitState => this.#state
  since = (): number => this.#since

  run = async <T>(tenant: string, exchange: () => Promise<T>): Promise<T> => {
    const passage = this.#admit()
    try {
      const result = await exchange()
      this.#judge(passage, tenant, 'response')
      return result
    } catch (thrown) {
      const error = asBrokerError(thrown)
      this.#judge(passage, tenant, error.handling.circuit)
      throw error
    }
  }

  /** @throws BrokerError `upstream_unavailable`, reason `circuit_open` */
  #admit(): Passage {
    if (this.#state === 'closed') return { change: this.#change }
    const now = this.#options.clock.monotonic()
    if (this.#state === 'open' && now < this.#openUntil) throw isOpen(this.#openUntil - now)
    if (this.#probe && now < this.#probe.until) throw isOpen(0)
    if (this.#state === 'open') this.#turn('half-open')
    const passage = { change: this.#change }
    this.#probe = { passage, until: now + this.#options.probeMs }
    return passage
  }

  #judge(passage: Passage, tenant: string, verdict: Handling['circuit']): void {
    if (passage.change !== this.#change) return
    if (this.#state === 'closed') return this.#count(tenant, verdict)
    // A probe that was given up for lost comes too late.
    if (this.#probe?.passage !== passage) return
    this.#probe = undefined
    if (verdict === 'response') this.#turn('closed')
    if (verdict === 'failure') this.#open()
  }

  #count(tenant: string, verdict: Handling['circuit']): void {
    if (verdict === 'ignored') return
    const trouble = verdict === 'failure'
    this.#outcomes.push({ at: this.#options.clock.monotonic(), tenant, trouble })
    if (this.#outcomes.length > maxOutcomes) this.#outcomes.shift()
    if (trouble && this.#isSick()) this.#open()
  }

  #isSick(): boolean {
    const { clock, windowMs, minExchanges, minTenants, minShare } = this.#options
    const after = clock.monotonic() - windowMs
    this.#outcomes = this.#outcomes.filter(({ at }) => at > after)
    if (this.#outcomes.length < minExchanges) return false
    const tenants = new Map(this.#outcomes.map(({ tenant, trouble }) => [tenant, trouble]))
    const troubled = [...tenants.values()].filter(Boolean).length
    return troubled >= minTenants && troubled >= minShare * tenants.size
  }

  #open(): void {
    this.#openUntil = this.#options.clock.monotonic() + this.#options.openMs
    this.#turn('open')
  }

  #turn(state: CircuitState): void {
    this.#state = state
    this.#since = this.#options.clock.now()
    this.#change++
    this.#outcomes = []
    this.#options.changed?.(state, this.#since)
  }
}

const isOpen = (ms: number) =>
  new BrokerError('upstream_unavailable', 'Entra has not responded recently, so no request was sent to it.', {
    reason: 'circuit_open',
    retryAfter: Math.max(1, Math.ceil(ms / 1000)),
  })
