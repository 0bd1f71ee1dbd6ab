import { LRUCache } from 'lru-cache'
import { BrokerError, type LimitFacts } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Grant } from './authorize.ts'
import type { Limit } from '../policy/model.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

/** What rules limit: requests for tokens, and exchanges with Entra that they cause. */
export interface RateLimits {
  /**
   * Counts a request.
   * @returns what is left; `undefined` where nothing limits it
   * @throws BrokerError `rate_limited`
   */
  readonly chargeRequest: (grant: Grant) => LimitFacts | undefined
  /**
   * Counts an exchange: to be asked once for each fetch, before it begins, by the grant that causes it. Who joins a fetch
   * that is under way causes none.
   *
   * @throws BrokerError `rate_limited`
   */
  readonly chargeExchange: (grant: Grant) => void
}

const rememberedBuckets = 10_000

/**
 * One token bucket for each caller and rule, per replica: it holds as many as the limit counts, and fills evenly over its
 * period. Callers who have not been seen for long enough that ten thousand others came begin with a full one.
 */
export function createRateLimits(clock: Pick<Clock, 'monotonic'>): RateLimits {
  const buckets = new LRUCache<string, TokenBucket>({ max: rememberedBuckets })

  const take = (what: LimitFacts['what'], { caller }: Grant, limit: Limit): LimitFacts => {
    const now = clock.monotonic()
    const key = `${what} ${limit.rule} ${caller.id}`
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
