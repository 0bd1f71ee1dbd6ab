import type { Limits } from './limits.ts'
import type { TokenSource } from './types.ts'

/** A source that is asked only as often as the rule of whoever causes the fetch allows. Rejects with `rate_limited` besides. */
export const limitedSource =
  (source: TokenSource, { exchange }: Pick<Limits, 'exchange'>): TokenSource =>
  async (grant, signal) => {
    exchange(grant)
    return source(grant, signal)
  }
