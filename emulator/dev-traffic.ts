import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

/** A caller of the traffic: the subject of its tokens, and the tenants whose tokens it requests, in turns. */
export interface TrafficCaller {
  readonly subject: string
  readonly tenants: readonly string[]
}

const graph = 'https://graph.microsoft.com/.default'

/**
 * What `npm run dev -- --faults` requests. `billing` may have Graph's tokens for every tenant, of which tailspin has not
 * consented. `reports` may have no token at all.
 */
export const trafficCallers: readonly [billing: TrafficCaller, reports: TrafficCaller] = [
  { subject: 'billing', tenants: ['contoso', 'fabrikam', 'northwind', 'tailspin'] },
  { subject: 'reports', tenants: ['contoso'] },
]

/** Milliseconds between two requests, and until a request without a response is given up. */
const [pauseMs, deadlineMs] = [400, 5_000]
/** Requests with the same tokens of callers. They take about seven minutes, and a token lives for an hour. */
const turnsPerToken = 1_000

/** How traffic reaches the brokers. */
export interface TrafficOptions {
  /** The origins of the brokers, which get the requests in turns. */
  readonly urls: readonly string[]
  /** Trusted for https. */
  readonly ca: string | undefined
  /** A token of a caller. */
  readonly tokenOf: (subject: string) => Promise<string>
}

/**
 * Sends one request after another, so that there is never more than one, until `signal` aborts it. Responses are ignored:
 * errors are what this traffic is for.
 */
export async function driveTraffic({ urls, ca, tokenOf }: TrafficOptions, signal: AbortSignal): Promise<void> {
  const tokens = new Map<string, string>()
  for (let turn = 0; !signal.aborted; turn += 1) {
    if (turn % turnsPerToken === 0) tokens.clear()
    const { subject, body } = requestAt(turn)
    const token = tokens.get(subject) ?? (await tokenOf(subject))
    tokens.set(subject, token)
    await send(`${urls[turn % urls.length]}/tokens`, token, body, ca, signal)
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
  }
}

/** The callers in turns, each with its own tenants in turns. */
export function requestAt(turn: number): { readonly subject: string; readonly body: string } {
  const { subject, tenants } = trafficCallers[turn % 2 === 0 ? 0 : 1]
  const tenant = tenants[Math.floor(turn / 2) % tenants.length]
  return { subject, body: JSON.stringify({ tenant, scope: graph }) }
}

/** Resolves when the response or an error is there. */
function send(url: string, token: string, body: string, ca: string | undefined, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const start = ca === undefined ? httpRequest : httpsRequest
  const options = {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    agent: false,
    timeout: deadlineMs,
    signal,
    ...(ca !== undefined && { ca }),
  }
  const request = start(url, options, response => void response.resume().on('close', () => resolve()))
  request.on('timeout', () => request.destroy()).on('error', () => resolve())
  request.end(body)
  return promise
}
