/** So many in so many seconds; both are whole numbers, 1 or more. */
export interface Rate {
  readonly count: number
  readonly seconds: number
}

/**
 * Holds as many tokens as its rate counts, and fills evenly over the rate's period. Begins full. It is as old as the last
 * {@link refill}: call that before anything else.
 */
export class TokenBucket {
  #rate: Rate
  /** Each millisecond adds the rate's count, and a token is the rate's period in milliseconds, so that sums stay exact. */
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
   * Adds what has come back since the last time. Where the rate is another than before, what was taken stays taken.
   *
   * @param now monotonic milliseconds
   */
  refill(rate: Rate, now: number): void {
    this.#rate = rate
    this.#credit = Math.min(rate.count * this.#token, this.#credit + (now - this.#at) * rate.count)
    this.#at = now
  }

  /** How many there are; the last one may be there in part. */
  get tokens(): number {
    return this.#credit / this.#token
  }

  /** Takes one, or what is left of it: there is no debt. */
  take(): void {
    this.#credit = Math.max(0, this.#credit - this.#token)
  }

  /** Milliseconds until there are so many tokens, when none is taken meanwhile; not positive when there are. */
  timeUntil(tokens: number): number {
    return (tokens * this.#token - this.#credit) / this.#rate.count
  }
}
