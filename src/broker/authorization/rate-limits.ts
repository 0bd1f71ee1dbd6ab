import { LRUCache } from 'lru-cache'
import { BrokerError, type LimitFacts } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Grant } from './authorize.ts'
import type { Limit } from '../policy/model.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

/** The limits of rules: for requests for tokens, and for the exchanges with Entra that the requests cause. */
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
 * Creates the limits: one token bucket for each kind of limit, rule and caller, per replica. Its capacity is the count of
 * the limit, and it fills evenly over the period. The least recently used of ten thousand buckets is evicted; its caller
 * starts again with a full one.
 */
export function createRateLimits(clock: Pick<Clock, 'monotonic'>): RateLimits {
  const buckets = new LRUCache<string, TokenBucket>({ max: maxBuckets })

  const take = (what: LimitFacts['what'], { caller }: Grant, limit: Limit): LimitFacts => {
    const now = clock.monotonic()
    // With the length of the rule's name, no name and subject together can have the key of another pair.
    const key = `${what} ${limit.rule.length} ${limit.rule} ${caller.id}`
    const bucket = buckets.get(key) ?? new TokenBucket(limit, now)
    buckets.set(key, bucket)
    bucket.refill(limit, now)
    const isAllowed = bucket.tokens >= 1
    if (isAllowed) bucket.take()
    const { count, seconds } = limit
    const remaining = Math.floor(bucket.tokens)
    const resetIn = Math.ceil(bucket.timeUntil(remaining > 0 ? count : 1) / 1000)
    const facts = { what, count, seconds, remaining, resetIn }
    if (isAllowed) return facts
    throw new BrokerError('rate_limited', details[what], {
      reason: what,
      retryAfter: Math.max(1, facts.resetIn),
      limit: facts,
    })
  }

  return {
    chargeRequest: grant => grant.requestLimit && take('requests', grant, grant.requestLimit),
    chargeExchange: grant => void (grant.exchangeLimit && take('exchanges', grant, grant.exchangeLimit)),
  }
}

const details = {
  requests: 'This caller makes more requests than its rule allows.',
  exchanges: 'This caller requests more uncached tokens than its rule allows.',
} as const
