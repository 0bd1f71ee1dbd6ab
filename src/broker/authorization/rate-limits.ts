import type { LRUCache } from 'lru-cache'
import { BrokerError, type LimitFacts } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Grant } from './authorize.ts'
import type { Limit } from '../policy/model.ts'
import { TokenBucket, type Rate } from '../lib/token-bucket.ts'
import { createLru } from '../lib/lru.ts'

/**
 * The limits of rules: for requests for tokens, and for the exchanges with Entra that the requests cause. And the limit of the
 * policy for the exchanges of a tenant.
 */
export interface RateLimits {
  /**
   * Counts a request.
   * @returns the state of the limit; `undefined` if there is no limit
   * @throws BrokerError `rate_limited`
   */
  readonly chargeRequest: (grant: Grant) => LimitFacts | undefined
  /**
   * Counts an exchange. Call it once for each fetch, before it begins, with the grant that causes it. A request that joins
   * a running fetch causes no exchange.
   *
   * @throws BrokerError `rate_limited`
   */
  readonly chargeExchange: (grant: Grant) => void
}

const maxBuckets = 10_000

/**
 * Creates the limits: one token bucket for each kind of limit, rule and caller, and one for each application and tenant, per
 * replica. Its capacity is the count of the limit, and it fills evenly over the period. The least recently used of ten
 * thousand buckets of callers is evicted, and so is that of ten thousand buckets of tenants; whom it belongs to starts again
 * with a full one.
 */
export function createRateLimits(clock: Pick<Clock, 'monotonic'>): RateLimits {
  const ofCallers = createLru<string, TokenBucket>(maxBuckets)
  const ofTenants = createLru<string, TokenBucket>(maxBuckets)

  const take = (what: 'requests' | 'exchanges', { caller }: Grant, limit: Limit): LimitFacts => {
    // With the length of the rule's name, no name and subject together can have the key of another pair.
    const bucket = bucketIn(ofCallers, `${what} ${limit.rule.length} ${limit.rule} ${caller.id}`, limit, clock)
    const isAllowed = bucket.tokens >= 1
    if (isAllowed) bucket.take()
    const facts = factsOf(what, bucket, limit)
    if (isAllowed) return facts
    throw limited(facts)
  }

  return {
    chargeRequest: grant => grant.requestLimit && take('requests', grant, grant.requestLimit),
    chargeExchange: grant => {
      const { clientId, tenant, exchangeLimit, caller } = grant
      const { tenantLimit } = caller.policy
      const ofTenant = tenantLimit && bucketIn(ofTenants, `${clientId} ${tenant}`, tenantLimit, clock)
      // Looked at first and taken from last, so that a refusal by one limit uses up nothing of the other.
      if (tenantLimit && ofTenant && ofTenant.tokens < 1) throw limited(factsOf('tenant', ofTenant, tenantLimit))
      if (exchangeLimit) take('exchanges', grant, exchangeLimit)
      ofTenant?.take()
    },
  }
}

/** The bucket with this key, refilled; a new one is full. */
function bucketIn(
  buckets: LRUCache<string, TokenBucket>,
  key: string,
  rate: Rate,
  { monotonic }: Pick<Clock, 'monotonic'>,
): TokenBucket {
  const now = monotonic()
  const bucket = buckets.get(key) ?? new TokenBucket(rate, now)
  buckets.set(key, bucket)
  bucket.refill(rate, now)
  return bucket
}

function factsOf(what: LimitFacts['what'], bucket: TokenBucket, { count, seconds }: Rate): LimitFacts {
  const remaining = Math.floor(bucket.tokens)
  const resetIn = Math.ceil(bucket.timeUntil(remaining > 0 ? count : 1) / 1000)
  return { what, count, seconds, remaining, resetIn }
}

const limited = (limit: LimitFacts): BrokerError => {
  const { what, resetIn } = limit
  const remedy = what === 'tenant' && { remedy: tenantRemedy }
  return new BrokerError('rate_limited', details[what], {
    reason: what,
    retryAfter: Math.max(1, resetIn),
    limit,
    ...remedy,
  })
}

const details = {
  requests: 'This caller makes more requests than its rule allows.',
  exchanges: 'This caller requests more uncached tokens than its rule allows.',
  tenant: 'All callers together request more uncached tokens of this tenant and application than the policy allows.',
} as const

const tenantRemedy =
  'Keep tokens for refresh_in seconds, or let the operator of the broker raise "tenantLimit" in the policy.'
