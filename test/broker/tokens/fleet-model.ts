import assert from 'node:assert/strict'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import type { FetchFilter, IssuedToken } from '../../../src/broker/events.ts'

/** An exchange that is under way. */
export interface Exchange {
  readonly grant: Grant
  readonly began: number
  /** By the clock of the replica, and by the true one. */
  readonly issuedAt: number
  readonly trueAt: number
}

interface ModelToken {
  readonly key: string
  readonly began: number
  readonly ends: number
  readonly minRemaining: number
}

/** A purge that the store knew when it was acknowledged. */
export interface Purge {
  readonly filter: FetchFilter
  /** When it was requested. */
  readonly began: number
}

/** What an exchange returns. `isOpaque`: the token's own end cannot be read. */
export interface Success {
  readonly expiresIn: number
  readonly refreshIn: number | undefined
  readonly isOpaque: boolean
}

/** The tokens that were issued, and what any replica may serve of them. */
export class FleetModel {
  readonly #tokens = new Map<string, ModelToken>()

  /** A token of an exchange. Its life is counted by the clock of the replica that made it, its own end by the true clock. */
  issue({ grant, began, issuedAt, trueAt }: Exchange, { expiresIn, refreshIn, isOpaque }: Success): IssuedToken {
    const token = `${grant.key} #${began}`
    const expiresAt = trueAt + expiresIn * 1000
    const ends = Math.min(issuedAt + expiresIn * 1000, isOpaque ? Number.POSITIVE_INFINITY : expiresAt)
    const minRemaining = Math.min(60_000, (ends - issuedAt) / 10)
    this.#tokens.set(token, { key: grant.key, began, ends, minRemaining })
    return { token, expiresIn, ...(!isOpaque && { expiresAt }), ...(refreshIn !== undefined && { refreshIn }) }
  }

  /**
   * Judges a token that a replica serves.
   *
   * @param now by the clock of that replica
   * @param purges those that were acknowledged before it was requested
   */
  judge(text: string, { key }: Grant, now: number, purges: readonly Purge[]): void {
    const token = this.#tokens.get(text) ?? assert.fail(`a token that was never issued: ${text}`)
    assert.equal(token.key, key, "another key's token")
    assert.ok(token.ends - now > token.minRemaining, 'a token below its minimum life')
    for (const { began } of purges) assert.ok(token.began > began, 'a token from before a purge')
  }
}
