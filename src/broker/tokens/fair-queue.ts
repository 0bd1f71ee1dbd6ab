import { RoundRobinQueue, type QueueEntry } from './round-robin.ts'

/** Work that is done once, for everybody who waits for it, when one of them has a turn. */
export interface QueuedTask<T> {
  /** What comes of it. Stays pending when everybody has left before it began. */
  readonly result: Promise<T>
  /** Whether it has had its turn. */
  readonly started: boolean
  /**
   * Makes a caller wait for it: it begins when the first caller who waits for it has a turn, at once if there is one to
   * be had. Once it has begun, joining costs no turn.
   *
   * @param caller whose turns are used: the same text for everything one caller asks for
   * @param background whether nobody waits for an answer; the fetch has a turn among others of its kind then
   * @returns leaves again; does nothing once the work has begun, or the second time
   * @throws whatever {@link FairQueueOptions.overloaded} makes, when this caller's share of the queue is used up
   */
  readonly join: (caller: string, background?: boolean) => () => void
}

/** How much is under way, and how much waits. */
export interface QueueLoad {
  readonly running: number
  /** Places in the queues: a flight has one for each caller who waits for it. */
  readonly waiting: number
  /** Those of them in which nobody waits for an answer. */
  readonly background: number
}

/** A limit to what is done at once, with turns that are fair to callers. */
export interface FairQueue {
  /**
   * Prepares work; it begins once somebody has joined and has a turn.
   *
   * @param work called once at most
   * @param abandoned called when the last one has left before it began; not where the first could not even join
   */
  readonly task: <T>(work: () => Promise<T>, abandoned: () => void) => QueuedTask<T>
  readonly load: () => QueueLoad
}

/** The limits of {@link createFairQueue}. */
export interface FairQueueOptions {
  /** Flights at once, 1 or more. */
  readonly limit: number
  /** Places in the queues, 1 or more; default 10,000. */
  readonly maxWaiting?: number
  /** Makes the error for a caller whose share of the queue is used up. */
  readonly overloaded: () => Error
}

/** Places in the queues by default. */
export const defaultMaxWaiting = 10_000
/** A caller may begin another flight while it has fewer under way than this many times the free slots. */
const callerShare = 3
/** Turns of callers who wait, after which one of the background's is due. */
export const foregroundTurns = 3

/**
 * Callers take turns: whoever asks for much waits behind its own flights, first in first out, and a caller with a single
 * one comes after one flight of each other caller at most.
 *
 * Neither slots nor queue can be used up by a few callers, since what a caller may have shrinks with what is left: it
 * begins a flight only while it has fewer than three times the free slots under way (of 64 slots, one caller gets 48, two
 * get 28 each, three 20), and it queues only while it has fewer places than are left (of 10,000, one caller gets 5,000,
 * two together 7,500 at most). So a few callers leave something for the next one, also while an upstream hangs.
 *
 * The background (refreshes of tokens that are still served) has turns of its own, shared out in the same way: one in
 * four while callers wait, so that neither keeps the other from its work, and at most half of the slots.
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

  /** @throws Error where the caller's, or the background's, share of the places is used up */
  requireRoom(lane: RoundRobinQueue, caller: string): void {
    const { maxWaiting = defaultMaxWaiting, overloaded } = this.#options
    const held = lane === this.background ? lane.waiting : lane.waitingOf(caller)
    if (held >= maxWaiting - this.load().waiting) throw overloaded()
  }

  /** Begins whatever has a turn now. */
  startNext(): void {
    for (;;) {
      const free = this.#options.limit - this.load().running
      const seat = free > 0 ? this.#choose(free) : undefined
      if (seat === undefined) return
      this.#startedSinceBackground = seat.queue === this.background ? 0 : this.#startedSinceBackground + 1
      seat.start(seat)
    }
  }

  #choose(free: number): QueueEntry | undefined {
    const { foreground, background } = this
    const waiter = () => foreground.take(caller => foreground.runningOf(caller) < callerShare * free)
    const refresh = () => (background.running < free ? background.take(() => true) : undefined)
    return this.#startedSinceBackground >= foregroundTurns ? (refresh() ?? waiter()) : (waiter() ?? refresh())
  }
}

class FairQueueTask<T> implements QueuedTask<T> {
  readonly result: Promise<T>
  readonly #queue: CallerFairQueue
  readonly #work: () => Promise<T>
  readonly #abandoned: () => void
  readonly #settle: PromiseWithResolvers<T>
  readonly #entries = new Map<string, QueueEntry>()
  #started = false

  constructor(turns: CallerFairQueue, work: () => Promise<T>, abandoned: () => void) {
    this.#queue = turns
    this.#work = work
    this.#abandoned = abandoned
    this.#settle = Promise.withResolvers()
    this.result = this.#settle.promise
    // A refresh fails without anybody waiting for it.
    this.result.catch(() => undefined)
  }

  get started(): boolean {
    return this.#started
  }

  join = (caller: string, background = false): (() => void) => {
    if (this.#started) return () => undefined
    const name = `${background ? 'background' : 'waits'} ${caller}`
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
    const lane = background ? this.#queue.background : this.#queue.foreground
    this.#queue.requireRoom(lane, caller)
    const seat = lane.add(caller, this.#start)
    this.#entries.set(name, seat)
    return seat
  }

  #removeEntry(name: string, seat: QueueEntry): void {
    seat.queue.remove(seat)
    this.#entries.delete(name)
    if (this.#entries.size === 0) this.#abandoned()
  }

  #start = ({ queue: lane, caller }: QueueEntry): void => {
    this.#started = true
    for (const seat of this.#entries.values()) seat.queue.remove(seat)
    this.#entries.clear()
    lane.occupy(caller)
    const { resolve, reject } = this.#settle
    // The executor catches what is thrown at once, too.
    void new Promise<T>(done => done(this.#work())).then(resolve, reject).finally(() => {
      lane.release(caller)
      this.#queue.startNext()
    })
  }
}
