import { decodeJwt } from 'jose'
import type { Assertion } from '../broker/events.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { withDeadline } from '../broker/lib/async/deadline.ts'
import { tokenExchangeOf } from '../config/clouds.ts'
import { asBrokerError, BrokerError } from '../errors.ts'
import { entra } from '../outbound/entra/entra.ts'
import type { Egress } from '../outbound/network/egress.ts'
import type { ProbedTarget } from './targets.ts'

/** How one exchange ended. It does not contain the token. */
export interface Exchange {
  readonly target: ProbedTarget
  readonly error?: BrokerError
  /** Whether Entra issued the token. */
  readonly issued?: true
  /** The claim `roles` of the token; `undefined` if the token is not readable, or there was none. */
  readonly roles?: readonly string[] | undefined
}

/** Requests tokens as the broker does, each once, and counts them. */
export interface Exchanger {
  readonly exchange: (target: ProbedTarget) => Promise<Exchange>
  /** How many requests there were. */
  readonly count: () => number
}

/** What an exchange needs. */
export interface ExchangerOptions {
  readonly authority: string
  readonly egress: Egress
  readonly assertion: Assertion
  readonly clock: Clock
  /** Milliseconds for one exchange. */
  readonly timeoutMs: () => number
}

/** Creates an exchanger over one assertion, which is not renewed. Nothing is retried or repeated. */
export function createExchanger({ assertion, timeoutMs, ...options }: ExchangerOptions): Exchanger {
  let count = 0
  const same = (): Promise<Assertion> => Promise.resolve(assertion)
  const source = entra<ProbedTarget>({
    ...options,
    assertions: { get: same, renew: same, homeTenant: () => undefined },
    events: {
      upstreamCalled: () => undefined,
      // The second request follows.
      agentStepEnded: (step, error) => {
        if (step === 'blueprint' && error === undefined) count++
      },
      clockCompared: () => undefined,
      opaqueToken: () => undefined,
    },
    agents: { tokenExchange: tokenExchangeOf(options.authority) },
    // An exchange that hangs is not made once more beside itself.
    wait: () => new Promise(() => undefined),
  })
  return {
    count: () => count,
    exchange: async target => {
      count++
      const ms = timeoutMs()
      try {
        const { token } = await withDeadline(
          signal => source(target, signal),
          ms,
          () => noResponse(ms),
        )
        return { target, issued: true, roles: rolesOf(token) }
      } catch (thrown) {
        return { target, error: asBrokerError(thrown) }
      }
    },
  }
}

const noResponse = (ms: number) =>
  new BrokerError('upstream_unavailable', `Entra did not issue a token within ${Math.round(ms)} ms.`, {
    reason: 'timeout',
  })

function rolesOf(token: string): readonly string[] | undefined {
  try {
    const { roles } = decodeJwt(token)
    return Array.isArray(roles) ? roles.filter(role => typeof role === 'string') : []
  } catch {
    return undefined
  }
}
