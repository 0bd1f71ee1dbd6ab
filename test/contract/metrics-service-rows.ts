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
  'a replica that is down, beside one that is not': {
    samples: but([`up{${from}}`, '0x60'], ['up{job="token-broker",instance="b"}', '1x60']),
    at: 10,
    fires: { TokenBrokerDown: true, TokenBrokerAbsent: false },
  },
  'every replica is down': {
    samples: but([`up{${from}}`, '0x60']),
    at: 10,
    fires: { TokenBrokerDown: true, TokenBrokerAbsent: true },
  },
  'the replicas have vanished from discovery: their series end': {
    samples: but([`up{${from}}`, '1x10 stale']),
    at: 20,
    fires: { TokenBrokerDown: false, TokenBrokerAbsent: true },
  },
  'a job that was never scraped, beside another one': {
    samples: [['up{job="node"}', '1x60']],
    at: 6,
    fires: { TokenBrokerDown: false, TokenBrokerAbsent: true },
  },
  'a restart of the only replica within four minutes': {
    samples: but([`up{${from}}`, '1x10 stale _x3 1x40']),
    at: 14,
    fires: { TokenBrokerAbsent: false },
  },
}
