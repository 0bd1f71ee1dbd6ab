import { Lane, type Seat } from './round-robin.ts'

/** Work that is done once, for everybody who waits for it, when one of them has a turn. */
export interface Flight<T> {
  /** What comes of it. Stays pending when everybody has left before it began. */
  readonly result: Promise<T>
  /** Whether it has had its turn. */
  readonly begun: boolean
  /**
   * Makes a caller wait for it: it begins when the first caller who waits for it has a turn, at once if there is one to
   * be had. Once it has begun, joining costs no turn.
   *
   * @param caller whose turns are used: the same text for everything one caller asks for
   * @param background whether nobody waits for an answer; the fetch has a turn among others of its kind then
   * @returns leaves again; does nothing once the work has begun, or the second time
   * @throws whatever {@link TurnsOptions.overloaded} makes, when this caller's share of the queue is used up
   */
  readonly join: (caller: string, background?: boolean) => () => void
}

/** How much is under way, and how much waits. */
export interface Load {
  readonly running: number
  /** Places in the queues: a flight has one for each caller who waits for it. */
  readonly waiting: number
  /** Those of them in which nobody waits for an answer. */
  readonly background: number
}

/** A limit to what is done at once, with turns that are fair to callers. */
export interface Turns {
  /**
   * Prepares work; it begins once somebody has joined and has a turn.
   *
   * @param work called once at most
   * @param abandoned called when the last one has left before it began; not where the first could not even join
   */
  readonly flight: <T>(work: () => Promise<T>, abandoned: () => void) => Flight<T>
  readonly load: () => Load
}

export interface TurnsOptions {
  /** Flights at once, 1 or more. */
  readonly limit: number
  /** Places in the queues, 1 or more; default 10,000. */
  readonly maxWaiting?: number
  /** Makes the error for a caller whose share of the queue is used up. */
  readonly overloaded: () => Error
}

const defaultMaxWaiting = 10_000
/** A caller may begin another flight while it has fewer under way than this many times the free slots. */
const callerShare = 3
/** Turns of callers who wait, after which one of the background's is due. */
const foregroundTurns = 3

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
 * four while callers wait, so that neither keeps the other from its work, and at most half of the slots. Every operation
 * takes constant time, however many wait.
 */
export function createTurns(options: TurnsOptions): Turns {
  return new FairTurns(options)
}

class FairTurns implements Turns {
  readonly foreground = new Lane()
  readonly background = new Lane()
  readonly #options: TurnsOptions
  #turnsSinceBackground = 0

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  flight = <T>(work: () => Promise<T>, abandoned: () => void): Flight<T> => new QueuedFlight(this, work, abandoned)

  load = (): Load => ({
    running: this.foreground.running + this.background.running,
    waiting: this.foreground.waiting + this.background.waiting,
    background: this.background.waiting,
  })

  /** @throws Error where the caller's, or the background's, share of the places is used up */
  makeRoom(lane: Lane, caller: string): void {
    const { maxWaiting = defaultMaxWaiting, overloaded } = this.#options
    const held = lane === this.background ? lane.waiting : lane.waitingOf(caller)
    if (held >= maxWaiting - this.load().waiting) throw overloaded()
  }

  /** Begins whatever has a turn now. */
  next(): void {
    for (;;) {
      const free = this.#options.limit - this.load().running
      const seat = free > 0 ? this.#choose(free) : undefined
      if (seat === undefined) return
      this.#turnsSinceBackground = seat.lane === this.background ? 0 : this.#turnsSinceBackground + 1
      seat.begin(seat)
    }
  }

  #choose(free: number): Seat | undefined {
    const { foreground, background } = this
    const waiter = () => foreground.take(caller => foreground.runningOf(caller) < callerShare * free)
    const refresh = () => (background.running < free ? background.take(() => true) : undefined)
    return this.#turnsSinceBackground >= foregroundTurns ? (refresh() ?? waiter()) : (waiter() ?? refresh())
  }
}

class QueuedFlight<T> implements Flight<T> {
  readonly result: Promise<T>
  readonly #turns: FairTurns
  readonly #work: () => Promise<T>
  readonly #abandoned: () => void
  readonly #settle: PromiseWithResolvers<T>
  readonly #seats = new Map<string, Seat>()
  #begun = false

  constructor(turns: FairTurns, work: () => Promise<T>, abandoned: () => void) {
    this.#turns = turns
    this.#work = work
    this.#abandoned = abandoned
    this.#settle = Promise.withResolvers()
    this.result = this.#settle.promise
    // A refresh fails without anybody waiting for it.
    this.result.catch(() => undefined)
  }

  get begun(): boolean {
    return this.#begun
  }

  join = (caller: string, background = false): (() => void) => {
    if (this.#begun) return () => undefined
    const name = `${background ? 'background' : 'waits'} ${caller}`
    const seat = this.#seats.get(name) ?? this.#takeSeat(name, caller, background)
    seat.waiters++
    this.#turns.next()
    let left = false
    return () => {
      if (left || this.#begun) return
      left = true
      if (--seat.waiters === 0) this.#giveUp(name, seat)
    }
  }

  #takeSeat(name: string, caller: string, background: boolean): Seat {
    const lane = background ? this.#turns.background : this.#turns.foreground
    this.#turns.makeRoom(lane, caller)
    const seat = lane.add(caller, this.#begin)
    this.#seats.set(name, seat)
    return seat
  }

  #giveUp(name: string, seat: Seat): void {
    seat.lane.remove(seat)
    this.#seats.delete(name)
    if (this.#seats.size === 0) this.#abandoned()
  }

  #begin = ({ lane, caller }: Seat): void => {
    this.#begun = true
    for (const seat of this.#seats.values()) seat.lane.remove(seat)
    this.#seats.clear()
    lane.occupy(caller)
    const { resolve, reject } = this.#settle
    // The executor catches what is thrown at once, too.
    void new Promise<T>(done => done(this.#work())).then(resolve, reject).finally(() => {
      lane.release(caller)
      this.#turns.next()
    })
  }
}
