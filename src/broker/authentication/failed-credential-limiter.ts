import { isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { BrokerError } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

/** Limits the bad credentials of each address. An address is an IPv4 address or an IPv6 network of 64 bits. */
export interface FailedCredentialLimiter {
  /**
   * Call it before an unknown credential is verified, and then {@link failed} or {@link released}. The promise resolves
   * when the credential may be verified.
   *
   * @returns `undefined` if there is no need to wait
   * @throws BrokerError `rate_limited` if the wait would be longer than {@link longestWaitSeconds}
   */
  readonly acquire: (address: string) => Promise<void> | undefined
  /** The credential was bad: counts against the address. */
  readonly failed: (address: string) => void
  /** The credential was good, or could not be verified: does not count. */
  readonly released: (address: string) => void
}

/** Number of bad credentials that an address may send at once. */
export const burst = 100
/** Number of bad credentials a second that it may send after that. */
export const perSecond = 10
/** The longest time that a credential waits, in seconds. */
export const longestWaitSeconds = 2
const maxAddresses = 10_000

const rate = { count: burst, seconds: burst / perSecond }

interface AddressState {
  readonly bucket: TokenBucket
  waiting: number
  /** Credentials that are being verified. Each may turn out to be bad. */
  pending: number
}

/**
 * Creates the limiter: a token bucket for each address that sent a bad credential. Only bad credentials are counted, so
 * that many good callers can share one address. Only unknown credentials wait: cached callers do not reach the limiter.
 *
 * @param pause resolves after this number of milliseconds
 */
export function createFailedCredentialLimiter(
  clock: Pick<Clock, 'monotonic'>,
  pause: (ms: number) => Promise<unknown>,
): FailedCredentialLimiter {
  const addresses = new LRUCache<string, AddressState>({ max: maxAddresses })
  return {
    acquire: address => {
      const state = addresses.get(addressGroupOf(address))
      if (!state) return undefined
      state.bucket.refill(rate, clock.monotonic())
      const available = state.bucket.tokens - state.pending
      if (available >= 1 && state.waiting === 0) {
        state.pending++
        return undefined
      }
      const seconds = (1 - Math.max(0, available) + state.waiting) / perSecond
      if (seconds > longestWaitSeconds) throw tooMany()
      state.waiting++
      return pause(seconds * 1000).then(() => {
        state.waiting--
        state.pending++
      })
    },
    failed: address => {
      const key = addressGroupOf(address)
      const now = clock.monotonic()
      const state = addresses.get(key) ?? { bucket: new TokenBucket(rate, now), waiting: 0, pending: 0 }
      settle(state)
      state.bucket.refill(rate, now)
      // The bucket never goes below zero. Otherwise an address would be blocked longer the more often it tried.
      state.bucket.take()
      addresses.set(key, state)
    },
    released: address => {
      const state = addresses.get(addressGroupOf(address))
      if (state) settle(state)
    },
  }
}

/** Never below zero: a credential that was let through before the address had a state was not counted as pending. */
function settle(state: AddressState): void {
  state.pending = Math.max(0, state.pending - 1)
}

const tooMany = () =>
  new BrokerError(
    'rate_limited',
    'Too many invalid credentials came from this address; a credential that is not known yet must wait.',
    {
      reason: 'bad_credentials',
      retryAfter: longestWaitSeconds,
    },
  )

/** Returns an IPv4 address as it is, and for an IPv6 address its network of 64 bits, the smallest that a site is assigned. */
export function addressGroupOf(address: string): string {
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const before = head.split(':').filter(group => group !== '')
  const after = tail?.split(':').filter(group => group !== '') ?? []
  const zeros = Array<string>(tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)).fill('0')
  const groups = [...before, ...zeros, ...after].slice(0, 4)
  return `${groups.map(group => group.replace(/^0+(?=.)/, '')).join(':')}::/64`
}
