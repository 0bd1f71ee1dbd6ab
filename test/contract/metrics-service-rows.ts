import { but, clockOffset, from, type Row } from './metrics-alert-rows.ts'

/** The scenarios of the clock, and of callers that are limited, denied or not authenticated. */
export const serviceRows: Readonly<Record<string, Row>> = {
  'a clock that is five seconds ahead': {
    samples: but([clockOffset, '4x10 5x50']),
    at: 30,
    fires: { TokenBrokerClockOffsetHigh: true },
  },
  'a clock that is behind': {
    samples: but([clockOffset, '-6x60']),
    at: 30,
    fires: { TokenBrokerClockOffsetHigh: true },
  },
  'a clock that differs by four seconds': {
    samples: but([clockOffset, '-4x60']),
    at: 30,
    fires: { TokenBrokerClockOffsetHigh: false },
  },
  'one slow response, which looks like a wrong clock': {
    samples: but([clockOffset, '0x10 9 9 9 0x50']),
    at: 13,
    fires: { TokenBrokerClockOffsetHigh: false },
  },
  'many requests beyond a limit': {
    samples: but([`token_broker_limited_requests_total{${from},limit="tenant"}`, '0+3x60']),
    at: 30,
    fires: { TokenBrokerLimitedRequestsHigh: true },
  },
  'a client that reaches its limit once in a while': {
    samples: but([`token_broker_limited_requests_total{${from},limit="requests"}`, '0+1x60']),
    at: 30,
    fires: { TokenBrokerLimitedRequestsHigh: false },
  },
  'many denials': {
    samples: but([`token_broker_denials_total{${from},endpoint="tokens",reason="no_rule"}`, '0+3x60']),
    at: 30,
    fires: { TokenBrokerDenialsHigh: true, TokenBrokerInvalidSignaturesHigh: false },
  },
  'many invalid signatures': {
    samples: but([`token_broker_caller_verifications_total{${from},issuer="onprem",outcome="signature"}`, '0+3x60']),
    at: 30,
    fires: { TokenBrokerInvalidSignaturesHigh: true },
  },
}
