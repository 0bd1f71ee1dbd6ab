import { but, from, type Row } from './metrics-alert-rows.ts'

const issued = `token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`
const internalErrors = `token_broker_requests_total{${from},endpoint="tokens",outcome="internal_error"}`

const durations = (suffix: string, outcome: string, le = '') =>
  `token_broker_request_duration_seconds_${suffix}{${from},endpoint="tokens",outcome="${outcome}"${le && `,le="${le}"`}}`
/** Samples of tokens of one class: how many a minute, and how many of those within 25 ms. */
const timed = (outcome: string, all: string, fast: string): Row['samples'] => [
  [durations('count', outcome), all],
  [durations('bucket', outcome, '0.025'), fast],
  [durations('bucket', outcome, '0.05'), all],
]

/** The scenarios of the objectives. */
export const objectiveRows: Readonly<Record<string, Row>> = {
  'internal errors: one request in fifty, for an hour': {
    samples: but([internalErrors, '0+10x60']),
    at: 60,
    fires: { TokenBrokerAvailabilityBurnsFast: true },
  },
  'internal errors: one request in a hundred, for six hours': {
    samples: [
      [issued, '0+500x400'],
      [internalErrors, '0+5x400'],
    ],
    at: 400,
    fires: { TokenBrokerAvailabilityBurnsSlowly: true, TokenBrokerAvailabilityBurnsFast: false },
  },
  'internal errors that ended half an hour ago': {
    samples: [
      [issued, '0+500x60'],
      [internalErrors, '0+100x30 3000x30'],
    ],
    at: 60,
    fires: { TokenBrokerAvailabilityBurnsFast: false },
  },
  'Entra is unavailable: the broker itself is available': {
    samples: but([`token_broker_requests_total{${from},endpoint="tokens",outcome="upstream_unavailable"}`, '0+500x60']),
    at: 60,
    fires: { TokenBrokerAvailabilityBurnsFast: false, TokenBrokerAvailabilityBurnsSlowly: false },
  },
  'one cached token in five is slow, for an hour': {
    samples: but(...timed('cached', '0+500x60', '0+400x60')),
    at: 60,
    fires: { TokenBrokerLatencyBurnsFast: true },
  },
  'one cached token in ten is slow, for six hours': {
    samples: timed('cached', '0+500x400', '0+450x400'),
    at: 400,
    fires: { TokenBrokerLatencyBurnsSlowly: true, TokenBrokerLatencyBurnsFast: false },
  },
  'one cached token in a hundred is slow, as the objective allows': {
    samples: timed('cached', '0+500x400', '0+495x400'),
    at: 400,
    fires: { TokenBrokerLatencyBurnsSlowly: false, TokenBrokerLatencyBurnsFast: false },
  },
  'slow cached tokens that ended half an hour ago': {
    samples: timed('cached', '0+500x60', '0+0x30 500+500x29'),
    at: 60,
    fires: { TokenBrokerLatencyBurnsFast: false },
  },
  'Entra is slow: only tokens that must be fetched take long': {
    samples: but(...timed('cached', '0+500x60', '0+500x60'), ...timed('fetched', '0+500x60', '0x60')),
    at: 60,
    fires: { TokenBrokerLatencyBurnsFast: false, TokenBrokerLatencyBurnsSlowly: false },
  },
  'no requests: there is nothing to be slow': {
    samples: but(...timed('cached', '7x60', '0x60')),
    at: 60,
    fires: { TokenBrokerLatencyBurnsFast: false, TokenBrokerLatencyBurnsSlowly: false },
  },
}
