import type { FetchFilter } from '../../../broker/events.ts'
import { matches } from '../../../broker/tokens/negative-cache/records.ts'
import type { PurgeMark } from '../sealing/sealed-token.ts'

/** A purge, as replicas share it. */
export interface Purge {
  /** Random, so that a purge that was published twice is recognised. */
  readonly id: string
  /** When it was made, in milliseconds since 1970 by the clock of the replica that made it. */
  readonly at: number
  readonly filter: FetchFilter
}

/** The purges as the store has them. */
export interface StoredLog extends PurgeMark {
  /** The last purges, the oldest first: the last one has the number `sequence`. At most {@link maxPurges}. */
  readonly purges: readonly Purge[]
}

/** What a replica has to do after it has read the store's log. */
export interface LogChange {
  /** Purges that it has not applied yet. */
  readonly apply: readonly Purge[]
  /** More purges than the store keeps were missed: everything must be dropped. */
  readonly isTrimmed: boolean
  /** The store has lost its data since the last read. */
  readonly isNewEpoch: boolean
  /**
   * The store has lost purges in the same epoch, as a failover can cause it: the sequence went back, or known numbers have
   * other purges. A new epoch must begin.
   */
  readonly isRolledBack: boolean
}

const rolledBack: LogChange = { apply: [], isTrimmed: false, isNewEpoch: false, isRolledBack: true }
const unreadable = 'unreadable-'

/** What an entry stands for that no key of the ring opens: a purge of everything. @param entry its id in the stream */
export const unreadablePurge = (entry: string, at: number): Purge => ({ id: unreadable + entry, at, filter: {} })

const isReadable = ({ id }: Purge): boolean => !id.startsWith(unreadable)

/** The number of purges that the store and each replica keep. A replica that missed more drops everything. */
export const maxPurges = 1000

/** The purges that one replica knows. It decides which shared tokens are older than a purge. It sends nothing. */
export class PurgeLog {
  #mark: PurgeMark | undefined
  /** The purges of this epoch after {@link #floor}, by their number, ascending. */
  #numbered: (Purge & { readonly sequence: number })[] = []
  /** Purges up to this number are not known any more. */
  #floor = 0
  /** Applied purges of all epochs, the oldest first. */
  readonly #applied = new Map<string, Purge>()
  /** Purges that the store does not have, by id. */
  readonly #missing = new Map<string, Purge>()

  /** How far the store's log was read; `undefined` until it was read once. */
  get mark(): PurgeMark | undefined {
    return this.#mark
  }

  /** Whether the store's log was read up to this mark. */
  includes({ epoch, sequence }: PurgeMark): boolean {
    return this.#mark?.epoch === epoch && this.#mark.sequence === sequence
  }

  /** Records a purge that this replica made and applied itself. The store may not have it yet. */
  record(purge: Purge): void {
    setBounded(this.#applied, purge)
  }

  /** Purges that this replica knows and the store does not have, or may not have: they must be written to it. */
  get missing(): readonly Purge[] {
    return [...this.#missing.values()]
  }

  /** The store did not take a purge, or did not respond. */
  notStored(purge: Purge): void {
    setBounded(this.#missing, purge)
  }

  /** The store has taken these purges. */
  stored(purges: readonly Purge[]): void {
    for (const { id } of purges) this.#missing.delete(id)
  }

  /** Takes over what the store has. */
  read(stored: StoredLog): LogChange {
    const isKnownEpoch = this.#mark?.epoch === stored.epoch
    const last = isKnownEpoch ? (this.#mark?.sequence ?? 0) : 0
    const before = stored.sequence - stored.purges.length
    const numbered = stored.purges.map((purge, nth) => ({ ...purge, sequence: before + nth + 1 }))
    if (stored.sequence < last || (isKnownEpoch && numbered.some(this.#isAnother))) return rolledBack
    const unseen = numbered.filter(({ sequence }) => sequence > last)
    // The store has removed purges that this replica has not seen, so any token may be older than one of them.
    const isTrimmed = this.#mark !== undefined && before > last
    const apply = unseen.filter(({ id }) => !this.#applied.has(id))
    // One that is unreadable here is written back by those that can read it.
    if (!isKnownEpoch) for (const purge of [...this.#applied.values()].filter(isReadable)) this.notStored(purge)
    this.stored(stored.purges)
    if (!isKnownEpoch || isTrimmed) {
      this.#numbered = numbered
      this.#floor = before
    } else {
      this.#numbered.push(...unseen)
      const surplus = this.#numbered.splice(0, Math.max(0, this.#numbered.length - maxPurges))
      this.#floor = surplus.at(-1)?.sequence ?? this.#floor
    }
    for (const { id, at, filter } of unseen) this.record({ id, at, filter })
    const isNewEpoch = this.#mark !== undefined && !isKnownEpoch
    this.#mark = { epoch: stored.epoch, sequence: stored.sequence }
    return { apply, isTrimmed, isNewEpoch, isRolledBack: false }
  }

  /** Whether a known number has another purge than before. With another key ring, the same one may be unreadable now. */
  #isAnother = (purge: Purge & { readonly sequence: number }): boolean => {
    const known = this.#numbered[purge.sequence - (this.#numbered[0]?.sequence ?? 0)]
    return known !== undefined && known.id !== purge.id && isReadable(known) && isReadable(purge)
  }

  /** Whether a purge after this mark concerns the target, or may: then a token with that mark must not be used. */
  isPurged(target: FetchFilter, { epoch, sequence }: PurgeMark): boolean {
    if (epoch !== this.#mark?.epoch || sequence < this.#floor) return true
    return this.#numbered.some(purge => purge.sequence > sequence && matches(target, purge.filter))
  }
}

/** The oldest one is dropped if there are too many. */
function setBounded(purges: Map<string, Purge>, purge: Purge): void {
  purges.set(purge.id, purge)
  if (purges.size > maxPurges) purges.delete(purges.keys().next().value ?? '')
}
