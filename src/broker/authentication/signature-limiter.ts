import { isIPv6 } from 'node:net'
import { BrokerError } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'

/** Limits the signatures of each address that are verified at once. An address is an IPv4 address or an IPv6 network of 64 bits. */
export interface SignatureLimiter {
  /**
   * Verifies a signature when it is its turn among those of its address. Call it only for what costs a verification: not
   * for credentials that are cached or that their form or claims refuse, and not while keys are fetched.
   *
   * Rejects with `rate_limited` if too many of the address wait, or if it waited too long; else as `verify` does.
   */
  readonly run: <T>(address: string, verify: () => Promise<T>) => Promise<T>
}

/** Number of signatures of an address that are verified at once: half of the threads that Node.js has for it by default. */
export const maxConcurrent = 2
/** Number of signatures of an address that may wait. */
export const maxWaiting = 1000
/** The longest time that a signature waits, in seconds. */
export const longestWaitSeconds = 5

interface Waiting {
  readonly since: number
  readonly start: () => void
  readonly refuse: (error: BrokerError) => void
}

/** The signatures of an address. It exists while one of them is being verified, so there are no more than requests. */
interface AddressState {
  running: number
  readonly waiting: Waiting[]
}

/**
 * Creates the limiter: a queue for each address, first in first out. Bad credentials are not counted, so they cannot make
 * the broker refuse the good credentials of their address: a good one is verified after at most those before it, and each
 * takes a fraction of a millisecond.
 */
export function createSignatureLimiter({ monotonic }: Pick<Clock, 'monotonic'>): SignatureLimiter {
  const addresses = new Map<string, AddressState>()

  /** Gives the place of a signature to the next that waits, and ends those that have waited too long. */
  const release = (key: string, state: AddressState): void => {
    const oldest = monotonic() - longestWaitSeconds * 1000
    for (let next = state.waiting.shift(); next; next = state.waiting.shift()) {
      if (next.since >= oldest) return next.start()
      next.refuse(tooMany())
    }
    state.running--
    if (state.running === 0) addresses.delete(key)
  }

  /** Resolves when it is the turn of a signature; `undefined` if that is now. */
  const acquire = (state: AddressState): Promise<void> | undefined => {
    if (state.running < maxConcurrent) {
      state.running++
      return undefined
    }
    if (state.waiting.length >= maxWaiting) throw tooMany()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    state.waiting.push({ since: monotonic(), start: resolve, refuse: reject })
    return promise
  }

  return {
    run: async (address, verify) => {
      const key = addressGroupOf(address)
      const state = addresses.getOrInsertComputed(key, () => ({ running: 0, waiting: [] }))
      await acquire(state)
      try {
        return await verify()
      } finally {
        release(key, state)
      }
    },
  }
}

const tooMany = () =>
  new BrokerError(
    'rate_limited',
    'Too many credentials of this address wait for the verification of their signatures.',
    { reason: 'bad_credentials', retryAfter: longestWaitSeconds },
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
