import type { PurgeReach } from '../../../broker/tokens/second-level.ts'
import { publish } from '../channel.ts'
import type { RedisCommand } from '../connection/client.ts'
import type { KeyRing } from '../sealing/key-ring.ts'
import { openConfirmation, sealConfirmation, type Confirmation } from './purge-messages.ts'
import type { Replicas } from './replicas.ts'

/** What confirmations need. */
export interface ConfirmationsOptions {
  /** The name of this replica. */
  readonly replica: string
  readonly ring: () => KeyRing
  readonly replicas: Pick<Replicas, 'live'>
}

/** The confirmations of one purge of this replica. */
export interface Awaited {
  /** Whether it is known from which replicas they are wanted. */
  readonly isPossible: boolean
  /** Resolves once all live replicas have confirmed. */
  readonly done: Promise<void>
  readonly reach: () => PurgeReach
  readonly stop: () => void
}

interface Expected {
  /** Also those of replicas that are not live. */
  readonly confirmed: Set<string>
  readonly progress: () => void
}

/** Counts the replicas that have confirmed a purge. */
export class Confirmations {
  readonly #options: ConfirmationsOptions
  /** By the id of the purge. */
  readonly #expected = new Map<string, Expected>()

  constructor(options: ConfirmationsOptions) {
    this.#options = options
  }

  /** The message that this replica has applied a purge. */
  message(purge: string): RedisCommand {
    const { ring, replica } = this.#options
    const sealed = sealConfirmation(ring(), { purge, replica })
    return publish({ type: 'confirmed', sealed })
  }

  /**
   * Begins to count. All replicas must confirm that are live now, or were heard since: one that has just started may have
   * read tokens before the purge. This one's own confirmation counts once it comes over the channel, because then the
   * heartbeats that were sent before it have arrived, too.
   */
  expect(purge: string): Awaited {
    const { replicas, replica: own } = this.#options
    const atFirst = replicas.live()
    const live = (): readonly string[] | undefined => {
      const now = replicas.live()
      return atFirst && now && [...new Set([...atFirst.keys(), ...now.keys()])]
    }
    const confirmed = new Set<string>()
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const progress = (): void => {
      if (live()?.every(replica => confirmed.has(replica))) resolve()
    }
    this.#expected.set(purge, { confirmed, progress })
    return {
      isPossible: atFirst !== undefined,
      done,
      reach: () => {
        // A replica that does not hear itself may miss the heartbeats of others.
        const known = confirmed.has(own) ? live() : undefined
        return { live: known?.length, confirmed: known?.filter(replica => confirmed.has(replica)).length ?? 1 }
      },
      stop: () => void this.#expected.delete(purge),
    }
  }

  /** A confirmation arrived. Anything else is ignored. */
  received(sealed: Buffer): void {
    const confirmation: Confirmation | undefined =
      this.#expected.size > 0 ? openConfirmation(this.#options.ring(), sealed) : undefined
    const expected = confirmation && this.#expected.get(confirmation.purge)
    if (!expected) return
    expected.confirmed.add(confirmation.replica)
    expected.progress()
  }
}
