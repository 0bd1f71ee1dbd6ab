import { but, from, nan, type Row } from './metrics-alert-rows.ts'

const requests = (outcome: string) => `token_broker_requests_total{${from},endpoint="tokens",outcome="${outcome}"}`
const exchanges = (le: string) => `token_broker_exchange_duration_seconds_bucket{${from},outcome="ok",le="${le}"}`
const exchanged = `token_broker_exchange_duration_seconds_count{${from},outcome="ok"}`
const refused = (outcome: string) => `token_broker_exchange_duration_seconds_count{${from},outcome="${outcome}"}`
const identity = `token_broker_upstream_healthy{${from},kind="identity",name="managed-identity"}`
const atRisk = `token_broker_cache_entries_at_risk{${from}}`
const usableSeconds = `token_broker_cache_at_risk_usable_seconds{${from}}`

/** So many failed requests a minute for one tenant or agent identity, two exchanges among them; the others are negative hits. */
const ofOneTenant = (reason: string, perMinute: number): Row['samples'] => [
  [requests('federation_misconfigured'), `0+${perMinute}x60`],
  [refused(reason), '0+2x60'],
  [`token_broker_negative_cache_hits_total{${from},reason="${reason}"}`, `0+${perMinute - 2}x60`],
]

/** Successful exchanges, each of which takes between one and 2.5 seconds. */
const slow = (values: string): Row['samples'] => [
  [exchanges('1'), '0x60'],
  [exchanges('2.5'), values],
  [exchanges('+Inf'), values],
  [exchanged, values],
]

/** A token that is at risk from minute 11 on, and expires at minute 20. */
const expiring: Row['samples'] = [
  [atRisk, '0x10 1x8 0x40'],
  [usableSeconds, `${nan(11)} 540-60x8 ${nan(40)}`],
]

/** The scenarios of causes that have an alert of their own, and of what callers notice of them. */
export const causeRows: Readonly<Record<string, Row>> = {
  'a token at risk, before it expires': { samples: but(...expiring), at: 18, fires: { TokenBrokerTokensAtRisk: true } },
  'a token at risk, after it has expired: callers do not get it any more': {
    samples: but(...expiring),
    at: 21,
    fires: { TokenBrokerTokensAtRisk: false },
  },
  'tenants without consent: more than a tenth of the requests': {
    samples: but([requests('consent_required'), '0+30x60'], [requests('upstream_rejected'), '0+30x60']),
    at: 30,
    fires: { TokenBrokerTenantErrorsHigh: true, TokenBrokerRequestErrorsHigh: false },
  },
  'a tenant without consent among many': {
    samples: but([requests('consent_required'), '0+25x60']),
    at: 30,
    fires: { TokenBrokerTenantErrorsHigh: false },
  },
  'a caller that requests the token of a tenant without consent every other minute, and no other requests': {
    samples: but([requests('issued'), '7x60'], [requests('consent_required'), '0+1x5 6+0.5x55']),
    at: 40,
    fires: { TokenBrokerTenantErrorsHigh: false },
  },
  'a tenant of another cloud, among many: neither an outage nor most of the requests': {
    samples: but(...ofOneTenant('cloud', 50)),
    at: 30,
    fires: { TokenBrokerRequestErrorsHigh: false, TokenBrokerTenantErrorsHigh: false },
  },
  'requests for a tenant of another cloud are one in six': {
    samples: but(...ofOneTenant('cloud', 100)),
    at: 30,
    fires: { TokenBrokerRequestErrorsHigh: false, TokenBrokerTenantErrorsHigh: true },
  },
  'requests for a rejected agent identity are one in six, and the federated credential works': {
    samples: but(...ofOneTenant('agent_identity', 100)),
    at: 30,
    fires: { TokenBrokerRequestErrorsHigh: false, TokenBrokerTenantErrorsHigh: true },
  },
  'the federated credential does not work, and a tenant is in another cloud': {
    samples: but(...ofOneTenant('cloud', 20), [requests('federation_misconfigured'), '0+120x60']),
    at: 30,
    fires: { TokenBrokerRequestErrorsHigh: true },
  },
  'exchanges of refreshes for a tenant of another cloud do not hide that requests fail': {
    samples: but([refused('cloud'), '0+90x60'], [requests('upstream_unavailable'), '0+60x60']),
    at: 30,
    fires: { TokenBrokerRequestErrorsHigh: true },
  },
  'Entra is slow': { samples: but(...slow('0+5x60')), at: 30, fires: { TokenBrokerExchangesSlow: true } },
  'a few slow exchanges after the start': {
    samples: but(...slow('0x10 1 4 8x60')),
    at: 20,
    fires: { TokenBrokerExchangesSlow: false },
  },
  'one slow exchange in fifty': {
    samples: but(
      [exchanges('0.5'), '0+49x60'],
      [exchanges('2.5'), '0+49x60'],
      [exchanges('5'), '0+50x60'],
      [exchanges('+Inf'), '0+50x60'],
      [exchanged, '0+50x60'],
    ),
    at: 40,
    fires: { TokenBrokerExchangesSlow: false },
  },
  'Entra is as fast as usual': {
    samples: but([exchanges('0.25'), '0+5x60'], [exchanges('+Inf'), '0+5x60']),
    at: 30,
    fires: { TokenBrokerExchangesSlow: false },
  },
  'Entra does not accept one agent identity: its alert fires, and not that of the application': {
    samples: but([refused('agent_identity'), '_x10 1+1x50'], [refused('agent_assertion'), '0x60']),
    at: 30,
    fires: {
      TokenBrokerAgentIdentityRejected: true,
      TokenBrokerFederationMisconfigured: false,
      TokenBrokerExchangeErrorsHigh: false,
    },
  },
  'Entra does not accept the application: its alert fires, and not that of an agent identity': {
    samples: but([refused('federation'), '_x10 1+1x50']),
    at: 30,
    fires: { TokenBrokerAgentIdentityRejected: false, TokenBrokerFederationMisconfigured: true },
  },
  'most exchanges are those of a rejected agent identity': {
    samples: but([refused('agent_identity'), '0+50x60']),
    at: 30,
    fires: { TokenBrokerExchangeErrorsHigh: false },
  },
  'an identity endpoint that fails': {
    samples: but([identity, '1x10 0x50']),
    at: 30,
    fires: { TokenBrokerIdentityUnavailable: true, TokenBrokerUpstreamDown: false },
  },
  'an identity endpoint that failed for two minutes': {
    samples: but([identity, '1x10 0 0 1x50']),
    at: 13,
    fires: { TokenBrokerIdentityUnavailable: false },
  },
}
