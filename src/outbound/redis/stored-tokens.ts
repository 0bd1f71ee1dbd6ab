import type { Grant } from '../../broker/authorization/authorize.ts'
import type { IssuedToken, SharedLookUpOutcome } from '../../broker/events.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Wanted } from '../../broker/tokens/second-level.ts'
import { leaseName, valueName } from './names.ts'
import { maxLeaseIdBytes } from './lease-id.ts'
import { beginningOf, markCommands, markOf, textOf } from './positions.ts'
import type { Purges } from './purges/purges.ts'
import { maxValueBytes } from './sealing/envelope.ts'
import type { PurgeMark, Sealer, TokenRecord } from './sealing/sealed-token.ts'
import type { RedisCommand } from './connection/client.ts'
import type { Store } from './store.ts'

/** What the store has for a key. */
export interface Finding {
  readonly outcome: SharedLookUpOutcome
  /** Only with the outcome `hit`. */
  readonly token: IssuedToken | undefined
  /** The lease of the replica that is fetching it now. */
  readonly leaseId: string | undefined
  /** The purges so far: a fetch that begins now has this mark. `undefined` if they could not be read. */
  readonly mark: PurgeMark | undefined
}

const unavailable: Finding = { outcome: 'unavailable', token: undefined, leaseId: undefined, mark: undefined }

/** What shared tokens need. */
export interface StoredTokensOptions {
  readonly store: Store
  readonly sealer: Sealer
  readonly purges: Purges
  readonly clock: Clock
  /** As in the cache: a token is not stored for its last seconds. */
  readonly minRemainingSeconds: number
}

/** Reads and writes the tokens in the store. */
export class StoredTokens {
  readonly #options: StoredTokensOptions

  constructor(options: StoredTokensOptions) {
    this.#options = options
  }

  /** The commands whose replies {@link read} reads: the token under each key of the ring, the lease, and the purges so far. */
  commands(grant: Grant): readonly RedisCommand[] {
    const names = this.#options.sealer.names(grant)
    // The values first: a purge after them is seen in the sequence.
    const values = names.map(name => beginningOf(valueName(name), maxValueBytes))
    return [...values, beginningOf(leaseName(names[0]), maxLeaseIdBytes), ...markCommands]
  }

  /** Asks the store. Never rejects. */
  async find(grant: Grant, wanted: Wanted, deadlineMs: number): Promise<Finding> {
    try {
      return await this.read(grant, wanted, await this.#options.store.send(this.commands(grant), deadlineMs))
    } catch {
      return unavailable
    }
  }

  /** Reads the replies to {@link commands}. Reads the purges first, if there are new ones. Never rejects. */
  async read(grant: Grant, { newerThan = 0 }: Wanted, replies: readonly unknown[]): Promise<Finding> {
    if (replies.length < 4 || replies.some(reply => !Buffer.isBuffer(reply))) return unavailable
    const [lease, ...position] = replies.slice(-3)
    const leaseId = textOf(lease)
    const mark = markOf(position)
    if (!(await this.#options.purges.upTo(mark))) return { ...unavailable, leaseId }
    const none = { token: undefined, leaseId, mark: this.#options.purges.mark }
    const stored = replies
      .slice(0, -3)
      .filter(value => Buffer.isBuffer(value))
      .filter(({ length }) => length > 0)
    if (stored.length === 0) return { ...none, outcome: 'miss' }
    const opened = stored.map(value => this.#options.sealer.open(grant, value)).filter(each => each !== undefined)
    if (opened.length === 0) return { ...none, outcome: 'unreadable' }
    const current = opened.filter(({ mark: at }) => !this.#options.purges.isPurged(grant, at))
    if (current.length === 0) return { ...none, outcome: 'purged' }
    // While keys are changed, replicas write under different keys: the newest token counts.
    const [token] = current
      .map(each => each.token)
      .filter(each => each.issuedAt > newerThan && this.#usableMs(each) > 0)
      .toSorted((one, another) => another.issuedAt - one.issuedAt)
    if (token === undefined) return { ...none, outcome: 'miss' }
    return { ...none, outcome: 'hit', token }
  }

  /**
   * The commands that store a token; none if it cannot be shared: it is too large, ends too soon, or the purges are not known.
   *
   * @param mark of the moment when its fetch began
   */
  writing(grant: Grant, issued: IssuedToken, mark: PurgeMark | undefined): readonly RedisCommand[] {
    const { sealer } = this.#options
    const { issuedAt, refreshAt } = issued
    if (mark === undefined || issuedAt === undefined || refreshAt === undefined) return []
    const record = { ...issued, issuedAt, refreshAt }
    const sealed = sealer.seal(grant, record, mark)
    const ttl = Math.floor(this.#usableMs(record))
    if (sealed === undefined || ttl <= 0) return []
    return [['SET', valueName(sealer.names(grant)[0]), sealed, 'PX', String(ttl)]]
  }

  /** Milliseconds for which a token may still be served. The clock of the replica that made the exchange may differ, so its `exp` counts too. */
  #usableMs({ issuedAt, expiresIn, expiresAt = Number.POSITIVE_INFINITY }: TokenRecord): number {
    const life = Math.min(expiresIn * 1000, expiresAt - issuedAt)
    const minRemaining = Math.min(this.#options.minRemainingSeconds * 1000, life / 10)
    return Math.min(issuedAt + expiresIn * 1000, expiresAt) - this.#options.clock.now() - minRemaining
  }
}
