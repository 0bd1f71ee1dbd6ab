/** One caller's place in a {@link Lane}, for one piece of work. */
export interface Seat {
  readonly lane: Lane
  readonly caller: string
  /** Begins the work, and takes away this seat and the others that it has. */
  readonly begin: (seat: Seat) => void
  /** How many of the caller's requests wait here. */
  waiters: number
}

/** What one caller waits for, first in first out. Exists while there is something. */
interface Queue {
  readonly seats: Chain<PlacedSeat>
  readonly turn: Link<string>
}

interface PlacedSeat extends Seat {
  link?: Link<PlacedSeat>
}

/**
 * Callers who wait take turns; what one of them waits for is done in order. Counts what each has under way, too. Nothing
 * takes longer because more wait.
 */
export class Lane {
  /** Whoever waits, in the order of their turns. */
  readonly #turns = new Chain<string>()
  readonly #queues = new Map<string, Queue>()
  readonly #runningOf = new Map<string, number>()
  #waiting = 0
  #running = 0

  /** Seats. */
  get waiting(): number {
    return this.#waiting
  }

  get running(): number {
    return this.#running
  }

  waitingOf(caller: string): number {
    return this.#queues.get(caller)?.seats.size ?? 0
  }

  runningOf(caller: string): number {
    return this.#runningOf.get(caller) ?? 0
  }

  /** A seat behind the caller's others. A caller that had none has its turn after all others. */
  add(caller: string, begin: Seat['begin']): Seat {
    let queue = this.#queues.get(caller)
    if (queue === undefined) {
      queue = { seats: new Chain(), turn: this.#turns.push(caller) }
      this.#queues.set(caller, queue)
    }
    const seat: PlacedSeat = { lane: this, caller, begin, waiters: 0 }
    seat.link = queue.seats.push(seat)
    this.#waiting++
    return seat
  }

  /** Takes a seat away that is there. */
  remove(seat: PlacedSeat): void {
    const queue = this.#queues.get(seat.caller)
    if (queue === undefined || seat.link === undefined) return
    queue.seats.remove(seat.link)
    delete seat.link
    this.#waiting--
    if (queue.seats.size > 0) return
    this.#turns.remove(queue.turn)
    this.#queues.delete(seat.caller)
  }

  /**
   * The first seat of the first caller in turn who may begin; that caller's next turn is after all others. Whoever may
   * not begin now keeps the place. The seat stays until it is removed.
   */
  take(mayBegin: (caller: string) => boolean): Seat | undefined {
    for (let turn = this.#turns.first; turn !== undefined; turn = turn.after) {
      const queue = mayBegin(turn.value) ? this.#queues.get(turn.value) : undefined
      if (queue === undefined) continue
      this.#turns.moveToEnd(turn)
      return queue.seats.first?.value
    }
    return undefined
  }

  /** Counts work of this caller as under way. */
  occupy(caller: string): void {
    this.#running++
    this.#runningOf.set(caller, this.runningOf(caller) + 1)
  }

  /** Counts it as done. */
  release(caller: string): void {
    this.#running--
    const left = this.runningOf(caller) - 1
    if (left > 0) this.#runningOf.set(caller, left)
    else this.#runningOf.delete(caller)
  }
}

interface Link<T> {
  readonly value: T
  before: Link<T> | undefined
  after: Link<T> | undefined
}

/**
 * A doubly linked list. A `Set` would keep the order too, but finding its first member takes longer the more members
 * were removed before it.
 */
class Chain<T> {
  first: Link<T> | undefined
  #last: Link<T> | undefined
  size = 0

  push(value: T): Link<T> {
    const link: Link<T> = { value, before: undefined, after: undefined }
    this.#append(link)
    return link
  }

  remove(link: Link<T>): void {
    if (link.before) link.before.after = link.after
    else this.first = link.after
    if (link.after) link.after.before = link.before
    else this.#last = link.before
    this.size--
  }

  moveToEnd(link: Link<T>): void {
    this.remove(link)
    this.#append(link)
  }

  #append(link: Link<T>): void {
    link.before = this.#last
    link.after = undefined
    if (this.#last) this.#last.after = link
    else this.first = link
    this.#last = link
    this.size++
  }
}
