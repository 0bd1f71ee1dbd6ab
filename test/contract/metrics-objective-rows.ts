import { but, from, type Row } from './metrics-alert-rows.ts'

const issued = `token_broker_requests_total{${from},endpoint="tokens",outcome="issued"}`
const internalErrors = `token_broker_requests_total{${from},endpoint="tokens",outcome="internal_error"}`

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
  'Entra is away: the broker itself is available': {
    samples: but([`token_broker_requests_total{${from},endpoint="tokens",outcome="upstream_unavailable"}`, '0+500x60']),
    at: 60,
    fires: { TokenBrokerAvailabilityBurnsFast: false, TokenBrokerAvailabilityBurnsSlowly: false },
  },
}
