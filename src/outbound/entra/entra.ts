import { hedged, Hedges } from '../../broker/lib/async/hedge.ts'
import { timed } from '../../broker/lib/async/timed.ts'
import { verifyBlueprintToken, verifyToken } from '../../broker/tokens/verify-token.ts'
import type { Wait } from '../../broker/lib/clock.ts'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { Assertion, AssertionSource, Events, ExchangeTarget, IssuedToken } from '../../broker/events.ts'
import { BrokerError, type Reason } from '../../errors.ts'
import type { AgentAssertions, AgentPlace } from './agent-assertions.ts'
import { exchange, type RequestOptions, type TokenRequestToEntra } from './exchange.ts'

// The last hop, broker → Entra: the assertion and a grant → the tenant's access token.

/** What {@link entra} needs. */
export interface EntraOptions<Target extends ExchangeTarget = Grant> extends RequestOptions {
  /**
   * The origin of Entra: `https://login.microsoftonline.com`, or another cloud's. The identity's token is sent there.
   */
  readonly authority: string
  readonly assertions: AssertionSource
  readonly events: Pick<Events, 'upstreamCalled' | 'clockCompared' | 'agentStepEnded'> & {
    /** A token came that is not a readable JWT. */
    readonly opaqueToken: (target: Target) => void
  }
  /** Measures how long an exchange hangs. Default: a timer. */
  readonly wait?: Wait
  readonly agents: AgentOptions
}

/** How tokens of agent identities are requested. */
export interface AgentOptions {
  /** Keeps the tokens of blueprints. Absent: each exchange requests one. */
  readonly assertions?: AgentAssertions
  /** The resource of token exchange in the authority's cloud: `api://AzureADTokenExchange`. */
  readonly tokenExchange: string
}

/**
 * An exchange that has not ended after so many milliseconds is made once more beside it. Less than the time in which a key
 * is served again after an outage, and more than an exchange usually takes.
 */
export const hedgeAfterMs = 2_000

/**
 * Gets tokens from Entra. The broker sends a client-credentials request as the multi-tenant application to the target
 * tenant, with the managed identity's token as client assertion
 * (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
 *
 * For an agent identity there are two requests (https://learn.microsoft.com/entra/agent-id/agent-autonomous-app-oauth-flow),
 * both to the target tenant, which must be that of the agent identity. With the first one, its blueprint gets a token with
 * the managed identity's token as assertion. That token is the assertion of the agent identity in the second one.
 *
 * Every request has its own MSAL application, because a long-lived one keeps every token for ever and searches them
 * linearly. The broker's cache is the only one. MSAL knows the token endpoint, so it requests no metadata. Rejects with a
 * {@link BrokerError}; does not retry, except once with a renewed assertion. An exchange that hangs is repeated every
 * {@link hedgeAfterMs}, as far as {@link Hedges} allow; the first response counts.
 */
export function entra<Target extends ExchangeTarget = Grant>(
  options: EntraOptions<Target>,
): (target: Target, signal: AbortSignal) => Promise<IssuedToken> {
  const { assertions, clock, events, agents } = options
  const send = createSend(options)
  const scope = `${agents.tokenExchange}/.default`

  /** The first request for an agent identity. It keeps nothing of a grant, since its result outlives that. */
  const asBlueprint = async (place: AgentPlace, signal: AbortSignal): Promise<Assertion> => {
    const { clientId, tenant, agentId: fmiPath } = place
    const verify: TokenRequestToEntra['verify'] = ({ token }) => verifyBlueprintToken(place, token)
    const request = {
      target: { ...place, scope },
      step: 'blueprint',
      clientId,
      tenant,
      scope,
      fmiPath,
      verify,
    } as const
    const began = clock.now()
    const { token, expiresIn } = await withAssertion(assertions, each => send(request, each, signal), signal)
    return { token, expiresAt: began + expiresIn * 1000 }
  }
  const blueprintOf = ({ clientId, tenant }: ExchangeTarget, agentId: string) => {
    const place: AgentPlace = { clientId, agentId, tenant }
    const fetch = (signal: AbortSignal) => asBlueprint(place, signal)
    return agents.assertions?.of(place, fetch) ?? { get: fetch, renew: (_refused, signal) => fetch(signal) }
  }

  return async (target, signal) => {
    const { tenant, scope: wanted, clientId, agentId } = target
    const source = agentId === undefined ? assertions : blueprintOf(target, agentId)
    const request: TokenRequestToEntra = {
      target,
      ...(agentId !== undefined && { step: 'agent' }),
      clientId: agentId ?? clientId,
      tenant,
      scope: wanted,
      verify: (issued, now) => verifyToken(target, issued, now),
    }
    const issued = await withAssertion(source, assertion => send(request, assertion, signal), signal)
    if (issued.expiresAt === undefined) events.opaqueToken(target)
    return issued
  }
}

/** Sends a request, hedged and reported. */
function createSend<Target extends ExchangeTarget>(options: EntraOptions<Target>) {
  const { authority, clock, events, wait } = options
  const upstream = { kind: 'authority', name: authority } as const
  const hedges = new Hedges()
  return (request: TokenRequestToEntra, assertion: Assertion, signal: AbortSignal): Promise<IssuedToken> => {
    const once = (own: AbortSignal) =>
      timed(
        () => exchange(request, assertion, options, own),
        clock,
        (seconds, error) => {
          // Aborted because another one has responded, which says more about the authority.
          if (own.aborted && !signal.aborted) return
          events.upstreamCalled(upstream, seconds, error)
          if (request.step) events.agentStepEnded(request.step, error)
        },
      )
    return hedged(once, hedgeAfterMs, signal, wait, hedges)
  }
}

/** The reasons for which another assertion may help: that of the identity's token, and that of a blueprint's. */
const refusedAssertion: ReadonlySet<Reason> = new Set(['assertion', 'agent_assertion'])

/** Sends a request with an assertion, and once more with another one if Entra refuses the first and the source has another. */
async function withAssertion<T>(
  source: Pick<AssertionSource, 'get' | 'renew'>,
  request: (assertion: Assertion) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const assertion = await source.get(signal)
  try {
    return await request(assertion)
  } catch (thrown) {
    if (!(thrown instanceof BrokerError && refusedAssertion.has(thrown.reason))) throw thrown
    const renewed = await source.renew(assertion, signal).catch(() => assertion)
    if (renewed.token === assertion.token) throw thrown
    return request(renewed)
  }
}
