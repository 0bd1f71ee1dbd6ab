/** How long, in milliseconds, a turn is left to one that has had none, after its last request. Clients often wait for 1 s. */
export const yieldMs = 1_200

const maxRemembered = 1_000

/**
 * Decides who may take the next of some rare turns, so that one that requests more often than others, and fails each time,
 * does not take all of them. In each round everyone who requests one gets one turn. There is no queue: a turn that is free
 * goes to the next request of one that has had none, or, if there was none for {@link yieldMs}, to any.
 */
export class Turns {
  /** Who has had a turn in this round. */
  readonly #had = new Set<string>()
  #othersWaitUntil = Number.NEGATIVE_INFINITY

  /** Whether `who` may take a turn that is free now. @param now monotonic milliseconds */
  may(who: string, now: number): boolean {
    return now >= this.#othersWaitUntil || !this.#had.has(who)
  }

  /** `who` requested a turn while none was free. */
  waits(who: string, now: number): void {
    if (!this.#had.has(who)) this.#othersWaitUntil = now + yieldMs
  }

  /** `who` takes a turn. The second one in a round starts the next round. */
  took(who: string): void {
    if (this.#had.has(who) || this.#had.size === maxRemembered) this.clear()
    this.#had.add(who)
  }

  /** Forgets everyone. */
  clear(): void {
    this.#had.clear()
    this.#othersWaitUntil = Number.NEGATIVE_INFINITY
  }
}
