import { RoundRobinQueue, type QueueEntry } from './round-robin.ts'

/** Work that runs once for all callers that wait for it. */
export interface QueuedTask<T> {
  /** The outcome of the work. Stays pending if all callers leave before the task starts. */
  readonly result: Promise<T>
  readonly started: boolean
  /**
   * Makes a caller wait for the task. The task starts when it is the turn of the first of its callers, at once if there is
   * a free slot for that caller. Joining a task that has started takes neither a slot nor a place.
   *
   * @param caller the same text for all requests of one caller
   * @param background whether no request waits for the result. The task then takes a turn of the background
   * @returns leaves the task again. Does nothing if the task has started, or the second time
   * @throws the error of {@link FairQueueOptions.overloaded} if the caller's share of the places is used up
   */
  readonly join: (caller: string, background?: boolean) => () => void
}

/** How many tasks run, and how many entries wait. */
export interface QueueLoad {
  readonly running: number
  /** Occupied places. A waiting task has one for each caller that waits for it. */
  readonly waiting: number
  /** How many of these places the background has. */
  readonly background: number
}

/** A limit to concurrent tasks that is fair to callers. */
export interface FairQueue {
  /**
   * Makes a task. It does not wait for a turn before a caller has joined it.
   *
   * @param work called once at most
   * @param abandoned called when the last caller has left before the task started; not if the first could not join
   */
  readonly task: <T>(work: () => Promise<T>, abandoned: () => void) => QueuedTask<T>
  readonly load: () => QueueLoad
}

/** The limits of {@link createFairQueue}. */
export interface FairQueueOptions {
  /** Slots: how many tasks run at once, 1 or more. Called before each start; tasks that run already are not affected. */
  readonly limit: () => number
  /** Places: how many entries wait. 1 or more; default: 10,000. */
  readonly maxWaiting?: number
  /** Makes the error for a caller whose share of the places is used up. */
  readonly overloaded: () => Error
}

/** The default of {@link FairQueueOptions.maxWaiting}. */
export const defaultMaxWaiting = 10_000
/** A caller may start another task while it runs fewer than this many times the free slots. */
const callerShare = 3
/** While both wait, the background gets one turn after this many turns of callers. */
export const foregroundTurns = 3

/**
 * Creates a queue that is fair by caller.
 *
 * Turns: callers take turns. A caller with 10,000 waiting tasks waits behind its own ones. A caller with a single task
 * waits for at most one task of each other caller.
 *
 * Slots: a caller may start a task while it runs fewer than three times the free slots. So its share shrinks with what is
 * left. Of 64 slots, one caller gets 48, two callers get 28 each, and three get 20 each. Some slots stay free for the next
 * caller, even if an upstream hangs.
 *
 * Places: a caller may wait while it has fewer places than are left. Of 10,000 places, one caller gets 5,000, and the next
 * one 2,500.
 *
 * Background (refreshes of tokens that are still served): it has a queue of its own, in which callers take turns too. It
 * gets one turn in four while callers wait, and at most half of the slots and half of the places.
 */
export function createFairQueue(options: FairQueueOptions): FairQueue {
  return new CallerFairQueue(options)
}

class CallerFairQueue implements FairQueue {
  readonly foreground = new RoundRobinQueue()
  readonly background = new RoundRobinQueue()
  readonly #options: FairQueueOptions
  #startedSinceBackground = 0

  constructor(options: FairQueueOptions) {
    this.#options = options
  }

  task = <T>(work: () => Promise<T>, abandoned: () => void): QueuedTask<T> => new FairQueueTask(this, work, abandoned)

  load = (): QueueLoad => ({
    running: this.foreground.running + this.background.running,
    waiting: this.foreground.waiting + this.background.waiting,
    background: this.background.waiting,
  })

  /** @throws Error if the share of the places is used up: the caller's, or that of the whole background */
  requirePlace(queue: RoundRobinQueue, caller: string): void {
    const { maxWaiting = defaultMaxWaiting, overloaded } = this.#options
    const occupied = queue === this.background ? queue.waiting : queue.waitingOf(caller)
    if (occupied >= maxWaiting - this.load().waiting) throw overloaded()
  }

  /** Starts tasks until no slot is free, or no caller may use one. */
  startNext(): void {
    for (;;) {
      const free = this.#options.limit() - this.load().running
      const entry = free > 0 ? this.#next(free) : undefined
      if (entry === undefined) return
      this.#startedSinceBackground = entry.queue === this.background ? 0 : this.#startedSinceBackground + 1
      entry.start(entry)
    }
  }

  #next(free: number): QueueEntry | undefined {
    const { foreground, background } = this
    const ofCallers = () => foreground.take(caller => foreground.runningOf(caller) < callerShare * free)
    const ofBackground = () => (background.running < free ? background.take(() => true) : undefined)
    const backgroundFirst = this.#startedSinceBackground >= foregroundTurns
    return backgroundFirst ? (ofBackground() ?? ofCallers()) : (ofCallers() ?? ofBackground())
  }
}

class FairQueueTask<T> implements QueuedTask<T> {
  readonly result: Promise<T>
  readonly #queue: CallerFairQueue
  readonly #work: () => Promise<T>
  readonly #abandoned: () => void
  readonly #settle: PromiseWithResolvers<T>
  /** One entry for each caller that waits, and for each that waits in the background. */
  readonly #entries = new Map<string, QueueEntry>()
  #started = false

  constructor(queue: CallerFairQueue, work: () => Promise<T>, abandoned: () => void) {
    this.#queue = queue
    this.#work = work
    this.#abandoned = abandoned
    this.#settle = Promise.withResolvers()
    this.result = this.#settle.promise
    // All callers may have left when the task fails: that must not be an unhandled rejection.
    this.result.catch(() => undefined)
  }

  get started(): boolean {
    return this.#started
  }

  join = (caller: string, background = false): (() => void) => {
    if (this.#started) return () => undefined
    const name = `${background ? 'background' : 'foreground'} ${caller}`
    const entry = this.#entries.get(name) ?? this.#addEntry(name, caller, background)
    entry.waiters++
    this.#queue.startNext()
    let left = false
    return () => {
      if (left || this.#started) return
      left = true
      if (--entry.waiters === 0) this.#removeEntry(name, entry)
    }
  }

  #addEntry(name: string, caller: string, background: boolean): QueueEntry {
    const queue = background ? this.#queue.background : this.#queue.foreground
    this.#queue.requirePlace(queue, caller)
    const entry = queue.add(caller, this.#start)
    this.#entries.set(name, entry)
    return entry
  }

  #removeEntry(name: string, entry: QueueEntry): void {
    entry.queue.remove(entry)
    this.#entries.delete(name)
    if (this.#entries.size === 0) this.#abandoned()
  }

  #start = ({ queue, caller }: QueueEntry): void => {
    this.#started = true
    for (const entry of this.#entries.values()) entry.queue.remove(entry)
    this.#entries.clear()
    queue.occupy(caller)
    const { resolve, reject } = this.#settle
    void Promise.try(this.#work)
      .then(resolve, reject)
      .finally(() => {
        queue.release(caller)
        this.#queue.startNext()
      })
  }
}
