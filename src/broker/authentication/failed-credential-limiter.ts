import { isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { BrokerError } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'

/** Addresses from which bad credentials come. */
export interface FailedCredentialLimiter {
  /**
   * Asked before a credential that nobody knows yet is verified. Waits, where many bad ones came from the address.
   *
   * @returns `undefined` where there is nothing to wait for
   * @throws BrokerError `rate_limited` when the wait would be long
   */
  readonly acquire: (address: string) => Promise<void> | undefined
  /** A credential from this address, which had passed, was bad. */
  readonly failed: (address: string) => void
  /** A credential from this address, which had passed, was not bad: good, or nobody could tell. */
  readonly released: (address: string) => void
}

/** Bad credentials that an address may send at once. */
export const burst = 100
/** Bad credentials a second that it may go on sending. */
export const perSecond = 10
/** Seconds that a credential waits at most. */
export const longestWaitSeconds = 2
const rememberedAddresses = 10_000

const rate = { count: burst, seconds: burst / perSecond }

interface AddressState {
  readonly bucket: TokenBucket
  waiting: number
  /** Those that passed and of which nobody knows yet: each may turn out to be bad. */
  pending: number
}

/**
 * Only what is bad is counted, so that many good callers behind one address are none the worse for it; and only what is
 * unknown waits: a caller who is remembered is not even asked about.
 *
 * @param pause resolves after so many milliseconds
 */
export function createFailedCredentialLimiter(
  clock: Pick<Clock, 'monotonic'>,
  pause: (ms: number) => Promise<unknown>,
): FailedCredentialLimiter {
  const suspects = new LRUCache<string, AddressState>({ max: rememberedAddresses })
  return {
    acquire: address => {
      const suspect = suspects.get(addressGroupOf(address))
      if (!suspect) return undefined
      suspect.bucket.refill(rate, clock.monotonic())
      const unclaimed = suspect.bucket.tokens - suspect.pending
      if (unclaimed >= 1 && suspect.waiting === 0) {
        suspect.pending++
        return undefined
      }
      const seconds = (1 - Math.max(0, unclaimed) + suspect.waiting) / perSecond
      if (seconds > longestWaitSeconds) throw tooMany()
      suspect.waiting++
      return pause(seconds * 1000).then(() => {
        suspect.waiting--
        suspect.pending++
      })
    },
    failed: address => {
      const key = addressGroupOf(address)
      const now = clock.monotonic()
      const suspect = suspects.get(key) ?? { bucket: new TokenBucket(rate, now), waiting: 0, pending: 0 }
      close(suspect)
      suspect.bucket.refill(rate, now)
      // It leaves no debt, which would punish an address for longer the more often it tried.
      suspect.bucket.take()
      suspects.set(key, suspect)
    },
    released: address => {
      const suspect = suspects.get(addressGroupOf(address))
      if (suspect) close(suspect)
    },
  }
}

/** What passed before the address was suspected is not among the open ones. */
function close(suspect: AddressState): void {
  suspect.pending = Math.max(0, suspect.pending - 1)
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

/** An IPv4 address, or the network of 64 bits that an IPv6 address is in: nobody has less of those. */
export function addressGroupOf(address: string): string {
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const before = head.split(':').filter(group => group !== '')
  const after = tail?.split(':').filter(group => group !== '') ?? []
  const zeros = Array<string>(tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)).fill('0')
  const groups = [...before, ...zeros, ...after].slice(0, 4)
  return `${groups.map(group => group.replace(/^0+(?=.)/, '')).join(':')}::/64`
}
