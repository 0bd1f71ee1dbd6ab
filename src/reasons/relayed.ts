import { ofAgent, ofApplication, ofRequest, ofTenant, unusable } from './exchanges.ts'
import type { Handling } from './row.ts'

const relayed = (handling: Handling): Handling => ({ ...handling, origin: 'agent', cachedFor: 'key' })

/**
 * How an agent handles a code that its broker returned (reason `broker`). The agent caches it for the key only; the
 * broker's own negative cache covers the tenant or the application. Errors with other codes are not cached.
 */
export const brokerHandling: Readonly<Record<string, Handling>> = {
  consent_required: relayed(ofTenant),
  upstream_rejected: relayed(ofRequest),
  federation_misconfigured: relayed(ofApplication),
  upstream_invalid: relayed(unusable),
  upstream_unavailable: ofAgent,
}
