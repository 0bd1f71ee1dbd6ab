/** A rate of `count` in `seconds`. Both are whole numbers, 1 or more. */
export interface Rate {
  readonly count: number
  readonly seconds: number
}

/**
 * A token bucket. Its capacity is the rate's count, it refills evenly over the rate's period, and it is full at first. Its
 * state is that of the last {@link refill}, so call that before anything else.
 */
export class TokenBucket {
  #rate: Rate
  /** Each millisecond adds the rate's count, and a token costs the rate's period in milliseconds, so that sums stay exact. */
  #credit: number
  #at: number

  /** @param now monotonic milliseconds */
  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#credit = rate.count * this.#token
    this.#at = now
  }

  get #token(): number {
    return this.#rate.seconds * 1000
  }

  /**
   * Adds the tokens since the last refill. If the rate has changed, the tokens that were taken stay taken.
   *
   * @param now monotonic milliseconds
   */
  refill(rate: Rate, now: number): void {
    this.#rate = rate
    this.#credit = Math.min(rate.count * this.#token, this.#credit + (now - this.#at) * rate.count)
    this.#at = now
  }

  /** The number of tokens, which may be fractional. */
  get tokens(): number {
    return this.#credit / this.#token
  }

  /** Takes one token, or the rest if there is less. It never becomes negative. */
  take(): void {
    this.#credit = Math.max(0, this.#credit - this.#token)
  }

  /** Milliseconds until there are `tokens`, if none is taken meanwhile; zero or negative if there are already. */
  timeUntil(tokens: number): number {
    return (tokens * this.#token - this.#credit) / this.#rate.count
  }
}
