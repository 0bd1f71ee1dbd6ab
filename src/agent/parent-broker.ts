import { quoted } from '../broker/lib/text/quoted.ts'
import { timed } from '../broker/lib/async/timed.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { noSpans, type Spans } from '../broker/lib/spans.ts'
import type { Events, TokenSource, Upstream } from '../broker/events.ts'
import { postTokens, receivedToken, send, type BrokerAddress } from '../caller/tokens-request.ts'
import type { WorkloadCredential } from '../caller/workload-credential.ts'
import { BrokerError } from '../errors.ts'
import { readExpectedScope } from './expected-scope.ts'
import { parentFailure } from './parent-failure.ts'

/** The central broker, and the credential of the workload. */
export interface ParentBrokerOptions extends BrokerAddress {
  /** Reads the workload's credential; called for each request. */
  readonly credential: () => Promise<WorkloadCredential>
  readonly clock: Clock
  /** Each token request is a span. Default: nothing is traced. */
  readonly spans?: Spans | undefined
  /** Called after each token request. */
  readonly upstreamCalled: Events['upstreamCalled']
}

/** The central broker as an upstream, for health and metrics. */
export const parentUpstream = (url: string): Upstream => ({ kind: 'authority', name: url })

/** Seconds before the agent refreshes a token at the earliest, so that a broker that refreshes it now has time to. */
const minRefreshIn = 15

/** Characters of a scope at most. */
const maxScopeLength = 489

/**
 * Gets tokens from the central broker's `POST /tokens` with the workload's credential. That broker decides, and its
 * refusal is passed on. Does not retry and follows no redirect. Each fetch opens its own connection, so that renewed
 * files are used. If the grant's scope is a name {@link readExpectedScope with the scope that it must stand for}, a token
 * for another one is refused with `invalid_request`. Rejects with a `BrokerError`.
 */
export function parentBroker(options: ParentBrokerOptions): TokenSource {
  const { url, credential, clock, spans = noSpans, upstreamCalled } = options
  const fetch: TokenSource = async ({ tenant, application, agent, scope: text }, signal) => {
    const { scope, expected } = readExpectedScope(text)
    const requested = { tenant, application, agent, scope }
    const received = await timed(
      async () => {
        const response = await postTokens(options, await credential(), requested, signal, spans)
        if (response.status !== 200) throw parentFailure(response, clock.now())
        return receivedToken(requested, response.text)
      },
      clock,
      (seconds, error) => upstreamCalled(parentUpstream(url), seconds, error),
    )
    if (expected !== undefined && received.scope !== expected) throw otherScope(scope, expected)
    const { token, expiresIn, refreshIn } = received
    return { token, expiresIn, ...(refreshIn !== undefined && { refreshIn: Math.max(refreshIn, minRefreshIn) }) }
  }
  return (grant, signal) => spans.exchange(() => fetch(grant, signal))
}

const otherScope = (name: string, expected: string) =>
  new BrokerError(
    'invalid_request',
    `In the broker's policy, the scope ${quoted(name)} does not stand for ${quoted(expected, maxScopeLength)}.`,
    { remedy: "Request the scope's name without optionsOverride.Scopes, or correct the policy." },
  )

/**
 * Resolves if the broker responds with a status below 500: its name, its certificate and the workload's TLS files are
 * usable. Whether the broker accepts the credential is not checked. Rejects otherwise.
 */
export async function checkReachable(
  { url, egress, credential }: Pick<ParentBrokerOptions, 'url' | 'egress' | 'credential'>,
  signal: AbortSignal,
): Promise<void> {
  const { tls } = await credential()
  const { status } = await send(new URL('/livez', url), egress, { method: 'GET', ...tls, signal }, undefined)
  if (status >= 500) throw new Error(`the broker responded HTTP ${status}`)
}
