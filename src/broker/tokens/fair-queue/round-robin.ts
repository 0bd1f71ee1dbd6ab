/** One waiting task of one caller, in a {@link RoundRobinQueue}. */
export interface QueueEntry {
  readonly queue: RoundRobinQueue
  readonly caller: string
  /** Starts the task. Removes this entry, and the task's entries of other callers. */
  readonly start: (entry: QueueEntry) => void
  /** How many requests of the caller wait for the task. */
  waiters: number
}

/**
 * A queue in which callers take turns. The entries of one caller are first in, first out. Also counts the running tasks of
 * each caller.
 *
 * Example: a caller adds 10,000 entries, and another caller adds one. That one is the second to start.
 *
 * Maps and sets keep the order of insertion. To find the first entry they skip the deleted ones before it, as many as they
 * have room for: with 10,000 entries, one turn takes 5 µs of processor time.
 */
export class RoundRobinQueue {
  /** Entries by caller. The callers are in the order of their turns. No set is empty. */
  readonly #entriesOf = new Map<string, Set<QueueEntry>>()
  readonly #runningOf = new Map<string, number>()
  #waiting = 0
  #running = 0

  /** The number of entries. */
  get waiting(): number {
    return this.#waiting
  }

  /** The number of running tasks. */
  get running(): number {
    return this.#running
  }

  /** The number of entries of one caller. */
  waitingOf(caller: string): number {
    return this.#entriesOf.get(caller)?.size ?? 0
  }

  /** The number of running tasks that started in a turn of this caller. */
  runningOf(caller: string): number {
    return this.#runningOf.get(caller) ?? 0
  }

  /** Adds an entry after the caller's others. A caller that had none gets its turn after all other callers. */
  add(caller: string, start: QueueEntry['start']): QueueEntry {
    const entry: QueueEntry = { queue: this, caller, start, waiters: 0 }
    this.#entriesOf.getOrInsertComputed(caller, () => new Set()).add(entry)
    this.#waiting++
    return entry
  }

  /** Removes an entry. Does nothing the second time. */
  remove(entry: QueueEntry): void {
    const entries = this.#entriesOf.get(entry.caller)
    if (!entries?.delete(entry)) return
    this.#waiting--
    if (entries.size === 0) this.#entriesOf.delete(entry.caller)
  }

  /**
   * Returns the first entry of the first caller in turn that may start a task, and moves that caller behind all others.
   * A caller that may not start one now keeps its turn. The entry stays in the queue until it is removed.
   */
  take(mayStart: (caller: string) => boolean): QueueEntry | undefined {
    for (const [caller, entries] of this.#entriesOf) {
      if (!mayStart(caller)) continue
      this.#entriesOf.delete(caller)
      this.#entriesOf.set(caller, entries)
      const [first] = entries
      return first
    }
    return undefined
  }

  /** Counts a task of this caller as running. */
  occupy(caller: string): void {
    this.#running++
    this.#runningOf.set(caller, this.runningOf(caller) + 1)
  }

  /** Counts a task of this caller as done. */
  release(caller: string): void {
    this.#running--
    const left = this.runningOf(caller) - 1
    if (left > 0) this.#runningOf.set(caller, left)
    else this.#runningOf.delete(caller)
  }
}
