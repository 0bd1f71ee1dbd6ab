import { authorizeByFlags, policyOfFlags } from '../../src/agent/flag-policy.ts'
import { createCache } from '../../src/broker/tokens/cache.ts'
import { RevalidatingCache } from '../../src/agent/revalidating-cache.ts'
import { createSecretAuthenticate } from '../../src/broker/authentication/local-secret.ts'
import type { Grant } from '../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../src/broker/events.ts'
import { BrokerError, type ErrorCode } from '../../src/errors.ts'
import { graph, ids } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'

export type Response = IssuedToken | ErrorCode | 'hangs'
export const hour: IssuedToken = { token: 'first', expiresIn: 3600, refreshIn: 2700 }

const secret = 'a-secret-of-256-bits-in-base64url-0123456789'
const holder = await createSecretAuthenticate(secret, policyOfFlags(ids.contoso))(secret)
const authorize = authorizeByFlags(ids.contoso)

/** A grant as an agent makes it: of any scope, since the source decides. */
export const grantOf = (scope = graph): Grant =>
  authorize(holder, { tenant: ids.contoso, scope, application: 'default', minExpiresIn: 0 })

/** A cache over a source that returns `world.response`, revalidated every 300 s. */
export function revalidatedCache({ maxEntries = 10, timeoutMs = 20, maxWaitMs = 5 } = {}) {
  const clock = movableClock()
  const world = {
    response: hour as Response,
    requests: 0,
    revoked: [] as string[],
    waiting: [] as (() => void)[],
    refuses: false,
  }
  const source = async (): Promise<IssuedToken> => {
    world.requests++
    const { response } = world
    if (response === 'hangs') {
      const { promise, resolve } = Promise.withResolvers<void>()
      world.waiting.push(resolve)
      await promise
      if (world.refuses) throw new BrokerError('not_permitted', 'No.')
      return hour
    }
    if (typeof response === 'string') throw new BrokerError(response, 'No.')
    return response
  }
  const revalidation = new RevalidatingCache(source, {
    clock,
    revalidateSeconds: 300,
    timeoutMs,
    maxWaitMs,
    maxEntries,
    revokes: ({ status }) => status < 404,
    isSourceError: ({ code }) => code === 'upstream_rejected',
    revoked: (grant, { code }) => void world.revoked.push(`${grant.scope} ${code}`),
  })
  const cache = createCache(revalidation.source, {
    clock,
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs,
    concurrency: 4,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  const tokens = revalidation.wrap(cache)
  const get = async (scope?: string) => (await tokens.get(grantOf(scope), 0)).token.token
  return {
    world,
    clock,
    entries: () => cache.view.statistics().entries,
    source: revalidation.source,
    tokens,
    get,
    code: (scope?: string) =>
      get(scope).then(
        token => token,
        (thrown: BrokerError) => thrown.code,
      ),
  }
}

/** Resolves once every response has arrived. */
export const settled = () => new Promise(resolve => setImmediate(resolve))
