import { Type } from 'typebox'
import { counterLabels, timedCounters, type CounterName } from '../src/broker/counters.ts'
import { count, open, text } from './responses.ts'

/** The counters of `/cache`, for `openapi.yaml` only. */

const descriptions: Readonly<Record<CounterName, string>> = {
  requests: 'Requests, by endpoint and outcome: `issued`, `ok`, or the error code.',
  durations:
    'Requests by endpoint and class of the response: `cached`, `fetched`, `ok`, `client_error`, `server_error`.',
  denials: 'Authenticated requests that the policy denied, by endpoint and reason.',
  limited_requests: 'Requests refused because of a limit of the policy: `requests`, `exchanges` or `tenant`.',
  cache_requests: 'Tokens issued to callers, by cache result.',
  cache_refreshes: 'Background refreshes, by outcome: `replaced`, `not_yet`, or the reason of the failure.',
  negative_cache_hits: 'Requests that failed from the negative cache, without an exchange, by reason.',
  exchanges: 'Exchanges with Entra, by outcome: `ok`, or the reason of the failure.',
  identity_fetches: "Fetches of the managed identity's token, by outcome: `ok`, or the reason of the failure.",
  shared_lookups: 'Look-ups in Redis, by outcome. Empty without it.',
  shared_stores: 'Tokens written to Redis, by outcome.',
  shared_leases: 'Fetches by what they did about the lease of their key.',
  dropped_connections: 'Connections dropped because a listener had too many, by reason.',
}

const labelTexts: Readonly<Record<string, string>> = {
  endpoint: 'The endpoint, by its name in the metrics.',
  limit: 'The limit.',
  outcome: 'The outcome.',
  reason: 'The reason.',
  result: 'How the cache got the token.',
}

const isTimed = (name: string): boolean => timedCounters.some(timed => timed === name)

const seriesOf = (name: CounterName) =>
  Type.Array(
    open({
      ...Object.fromEntries(counterLabels[name].map(label => [label, text(labelTexts[label] ?? '')])),
      count: count('Events since the start.'),
      ...(isTimed(name) && { seconds: Type.Number({ minimum: 0, description: 'The sum of their durations.' }) }),
    }),
    { description: descriptions[name] },
  )

/** The field `counters` of `/cache`. */
export const counters = open(
  {
    requests: seriesOf('requests'),
    durations: seriesOf('durations'),
    denials: seriesOf('denials'),
    limited_requests: seriesOf('limited_requests'),
    cache_requests: seriesOf('cache_requests'),
    cache_refreshes: seriesOf('cache_refreshes'),
    negative_cache_hits: seriesOf('negative_cache_hits'),
    exchanges: seriesOf('exchanges'),
    identity_fetches: seriesOf('identity_fetches'),
    shared_lookups: seriesOf('shared_lookups'),
    shared_stores: seriesOf('shared_stores'),
    shared_leases: seriesOf('shared_leases'),
    dropped_connections: seriesOf('dropped_connections'),
  } satisfies Record<CounterName, unknown>,
  'Counters of this replica since `started_at`: the same numbers as in `/metrics`. A combination that is not listed was ' +
    'never counted. Rates are differences, divided by the difference of `time`, as long as `replica` stays the same.',
)
