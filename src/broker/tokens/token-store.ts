import { LRUCache } from 'lru-cache'
import type { CachedToken } from './cached-token.ts'

/**
 * The cached tokens: at most `max`; then the least recently used one is evicted. It does not know time: an expired token
 * stays until it is replaced, deleted or evicted.
 */
export class TokenStore {
  readonly max: number
  readonly #tokens: LRUCache<string, CachedToken>
  /** By id, so in the order in which the tokens were fetched. */
  readonly #byId = new Map<number, CachedToken>()
  readonly #atRisk = new Set<CachedToken>()
  #evictions = 0

  constructor(max: number) {
    this.max = max
    this.#tokens = new LRUCache({
      max,
      dispose: (token, _key, reason) => {
        this.#byId.delete(token.id)
        this.#atRisk.delete(token)
        if (reason === 'evict') this.#evictions++
      },
    })
  }

  get size(): number {
    return this.#tokens.size
  }

  /** Tokens evicted since the start because the store was full. */
  get evictions(): number {
    return this.#evictions
  }

  /** By id, in the order in which the tokens were fetched. */
  get byId(): ReadonlyMap<number, CachedToken> {
    return this.#byId
  }

  /** Tokens that were requested after their last refresh failed; expired ones too. */
  get atRisk(): ReadonlySet<CachedToken> {
    return this.#atRisk
  }

  /** The token of a key, which becomes the most recently used one. */
  get(key: string): CachedToken | undefined {
    return this.#tokens.get(key)
  }

  /** The token of a key. Does not count as a use. */
  peek(key: string): CachedToken | undefined {
    return this.#tokens.peek(key)
  }

  /** Stores a token in place of the one with the same key. */
  set(token: CachedToken): void {
    this.#tokens.set(token.key, token)
    this.#byId.set(token.id, token)
  }

  delete(token: CachedToken): void {
    this.#tokens.delete(token.key)
  }

  /** A refresh of the token failed, and a caller has requested it since. */
  markAtRisk(token: CachedToken): void {
    this.#atRisk.add(token)
  }

  /** A refresh of the token succeeded. */
  clearAtRisk(token: CachedToken): void {
    this.#atRisk.delete(token)
  }
}
