import { authorizeByFlags, policyOfFlags } from '../../src/agent/flag-policy.ts'
import { createCache } from '../../src/broker/tokens/cache.ts'
import { RevalidatingCache } from '../../src/agent/revalidating-cache.ts'
import { createSecretAuthenticate } from '../../src/broker/authentication/local-secret.ts'
import type { Grant } from '../../src/broker/authorization/authorize.ts'
import type { IssuedToken } from '../../src/broker/events.ts'
import { BrokerError, type ErrorCode } from '../../src/errors.ts'
import { graph, ids } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'

export type Answer = IssuedToken | ErrorCode | 'hangs'
export const hour: IssuedToken = { token: 'first', expiresIn: 3600, refreshIn: 2700 }

const secret = 'a-secret-of-256-bits-in-base64url-0123456789'
const holder = await createSecretAuthenticate(secret, policyOfFlags(ids.contoso))(secret)
const authorize = authorizeByFlags(ids.contoso)

/** A grant as an agent makes it: of whatever scope, since the source decides. */
export const grantOf = (scope = graph): Grant =>
  authorize(holder, { tenant: ids.contoso, scope, application: 'default', minExpiresIn: 0 })

/** A cache over a source that answers as `world.answer` says, confirmed every 300 s. */
export function confirmed({ maxEntries = 10, timeoutMs = 20, patienceMs = 5 } = {}) {
  const clock = movableClock()
  const world = {
    answer: hour as Answer,
    asked: 0,
    revoked: [] as string[],
    waiting: [] as (() => void)[],
    refuses: false,
  }
  const source = async (): Promise<IssuedToken> => {
    world.asked++
    const { answer } = world
    if (answer === 'hangs') {
      const { promise, resolve } = Promise.withResolvers<void>()
      world.waiting.push(resolve)
      await promise
      if (world.refuses) throw new BrokerError('not_permitted', 'No.')
      return hour
    }
    if (typeof answer === 'string') throw new BrokerError(answer, 'No.')
    return answer
  }
  const confirmation = new RevalidatingCache(source, {
    clock,
    revalidateSeconds: 300,
    timeoutMs,
    maxWaitMs: patienceMs,
    maxEntries,
    revokes: ({ status }) => status < 404,
    isSourceError: ({ code }) => code === 'upstream_rejected',
    revoked: (grant, { code }) => void world.revoked.push(`${grant.scope} ${code}`),
  })
  const cache = createCache(confirmation.source, {
    clock,
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs,
    concurrency: 4,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  const tokens = confirmation.wrap(cache)
  const get = async (scope?: string) => (await tokens.get(grantOf(scope), 0)).token.token
  return {
    world,
    clock,
    held: () => cache.view.statistics().entries,
    source: confirmation.source,
    tokens,
    get,
    code: (scope?: string) =>
      get(scope).then(
        token => token,
        (thrown: BrokerError) => thrown.code,
      ),
  }
}

/** Once what was answered has arrived. */
export const settled = () => new Promise(resolve => setImmediate(resolve))
