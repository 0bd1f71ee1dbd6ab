import type { Clock } from '../../broker/lib/clock.ts'
import { Turns } from '../../broker/lib/turns.ts'
import type { CircuitState } from '../../broker/events.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import type { Handling } from '../../reasons/row.ts'

// The last hop, broker → Entra: while the authority is down, no request is sent to it. retry.ts runs each attempt in
// it.

/** A circuit breaker: it stops requests to an authority that does not respond. */
export interface Circuit {
  /**
   * Makes an exchange and records its outcome. While the circuit is open, and while its one half-open probe is running,
   * rejects at once with `upstream_unavailable`, reason `circuit_open`, and the seconds until another attempt makes
   * sense.
   *
   * @param tenant of the exchange: a failing tenant is not a failing authority
   */
  readonly run: <T>(tenant: string, exchange: () => Promise<T>) => Promise<T>
  readonly state: () => CircuitState
  /** Whether {@link run} would make an exchange of this tenant now. If not, the tenant waits for its turn. */
  readonly admits: (tenant: string) => boolean
  /** When it entered this state, in milliseconds since 1970. */
  readonly since: () => number
}

/** When a circuit opens, and for how long. */
export interface CircuitOptions {
  readonly clock: Clock
  /** Called at every change of state. Must be quick and must not throw. */
  readonly changed?: (state: CircuitState, since: number) => void
  /** Milliseconds for which an outcome counts; default 10,000. */
  readonly windowMs?: number
  /** With fewer exchanges within the window, of all tenants, it stays closed; default 10. */
  readonly minExchanges?: number
  /** With fewer failing tenants it stays closed; default 3. */
  readonly minTenants?: number
  /** It opens from this share of failing tenants among those of the window, 0…1; default 0.5. */
  readonly minShare?: number
  /** Milliseconds for which it is open; default 2,000. */
  readonly openMs?: number
  /**
   * Milliseconds after which another exchange is let through beside a probe that has not settled: it may hang since before
   * the authority was well again. Default 2,000.
   */
  readonly probeTimeoutMs?: number
}

/** The defaults of {@link CircuitOptions}. */
export const circuitDefaults = {
  windowMs: 10_000,
  minExchanges: 10,
  minTenants: 3,
  minShare: 0.5,
  openMs: 2_000,
  probeTimeoutMs: 2_000,
} satisfies Partial<CircuitOptions>

/** Outcomes that are kept at most. Within the window there can be more. */
const maxOutcomes = 500

/**
 * A circuit for one authority. It opens when three conditions hold within the window: there were enough exchanges,
 * enough tenants fail, and these are a large enough share of the window's tenants. Each tenant counts once, by its last
 * exchange, so that one busy tenant does not count as many. After `openMs`, the first exchange makes it half-open and
 * is the probe whose outcome decides. If it hangs, another one is made every `probeTimeoutMs`; then the first response of
 * any of them closes the circuit. Tenants take turns, so that one that fails by itself does not keep it open. Exchanges that began before the last change of state decide nothing.
 *
 * A broker that serves fewer than `minTenants` tenants never opens it.
 */
export function createCircuit(options: CircuitOptions): Circuit {
  return new CircuitBreaker(options)
}

interface Outcome {
  readonly at: number
  readonly tenant: string
  readonly failed: boolean
}

/** An exchange that was allowed, and in which generation of the circuit it began. */
interface AdmittedExchange {
  readonly generation: number
}

class CircuitBreaker implements Circuit {
  readonly #options: CircuitOptions & typeof circuitDefaults
  #state: CircuitState = 'closed'
  #since: number
  /** The number of changes of state so far. */
  #generation = 0
  #outcomes: Outcome[] = []
  #openUntil = 0
  readonly #turns = new Turns()
  #probe: { readonly exchange: AdmittedExchange; readonly until: number } | undefined

  constructor(options: CircuitOptions) {
    this.#options = { ...circuitDefaults, ...options }
    this.#since = options.clock.now()
  }

  state = (): CircuitState => this.#state
  since = (): number => this.#since

  admits = (tenant: string): boolean =>
    this.#state === 'closed' || this.#waitMs(tenant, this.#options.clock.monotonic()) === undefined

  run = async <T>(tenant: string, exchange: () => Promise<T>): Promise<T> => {
    const admitted = this.#admit(tenant)
    try {
      const result = await exchange()
      this.#settle(admitted, tenant, 'response')
      return result
    } catch (thrown) {
      const error = asBrokerError(thrown)
      this.#settle(admitted, tenant, error.handling.circuit)
      throw error
    }
  }

  /** @throws BrokerError `upstream_unavailable`, reason `circuit_open` */
  #admit(tenant: string): AdmittedExchange {
    if (this.#state === 'closed') return { generation: this.#generation }
    const now = this.#options.clock.monotonic()
    const wait = this.#waitMs(tenant, now)
    if (wait !== undefined) throw circuitOpen(wait)
    if (this.#state === 'open') this.#transition('half-open')
    this.#turns.took(tenant)
    const exchange: AdmittedExchange = { generation: this.#generation }
    this.#probe = { exchange, until: now + this.#options.probeTimeoutMs }
    return exchange
  }

  /** Milliseconds until another attempt of a tenant makes sense; `undefined`: it may be the next probe. */
  #waitMs(tenant: string, now: number): number | undefined {
    const isOpen = this.#state === 'open' && now < this.#openUntil
    const isProbed = this.#probe !== undefined && now < this.#probe.until
    if (!isOpen && !isProbed && this.#turns.may(tenant, now)) return undefined
    this.#turns.waits(tenant, now)
    return isOpen ? this.#openUntil - now : 0
  }

  #settle(admitted: AdmittedExchange, tenant: string, outcome: Handling['circuit']): void {
    if (admitted.generation !== this.#generation) return
    if (this.#state === 'closed') return this.#record(tenant, outcome)
    // Also that of a probe which was replaced: a slow authority responds, too.
    if (outcome === 'response') return this.#transition('closed')
    if (this.#probe?.exchange !== admitted) return
    this.#probe = undefined
    if (outcome === 'failure') this.#open()
  }

  #record(tenant: string, outcome: Handling['circuit']): void {
    if (outcome === 'ignored') return
    const failed = outcome === 'failure'
    this.#outcomes.push({ at: this.#options.clock.monotonic(), tenant, failed })
    if (this.#outcomes.length > maxOutcomes) this.#outcomes.shift()
    if (failed && this.#shouldOpen()) this.#open()
  }

  #shouldOpen(): boolean {
    const { clock, windowMs, minExchanges, minTenants, minShare } = this.#options
    const windowStart = clock.monotonic() - windowMs
    this.#outcomes = this.#outcomes.filter(({ at }) => at > windowStart)
    if (this.#outcomes.length < minExchanges) return false
    const tenants = new Map(this.#outcomes.map(({ tenant, failed }) => [tenant, failed]))
    const failing = [...tenants.values()].filter(Boolean).length
    return failing >= minTenants && failing >= minShare * tenants.size
  }

  #open(): void {
    this.#openUntil = this.#options.clock.monotonic() + this.#options.openMs
    this.#transition('open')
  }

  #transition(state: CircuitState): void {
    this.#state = state
    this.#since = this.#options.clock.now()
    this.#generation++
    this.#probe = undefined
    if (state === 'closed') this.#turns.clear()
    this.#outcomes = []
    this.#options.changed?.(state, this.#since)
  }
}

const circuitOpen = (ms: number) =>
  new BrokerError('upstream_unavailable', 'Entra has not responded recently, so no request was sent to it.', {
    reason: 'circuit_open',
    retryAfter: Math.max(1, Math.ceil(ms / 1000)),
  })
