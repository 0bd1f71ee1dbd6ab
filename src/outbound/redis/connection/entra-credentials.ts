import { decodeJwt } from 'jose'
import type { AssertionSource } from '../../../broker/events.ts'
import { isGuid } from '../../../broker/lib/identifiers.ts'
import type { CredentialsSource, RedisCredentials } from './credentials.ts'

/** The resource of the tokens that Azure Managed Redis accepts: the scope `https://redis.azure.com/.default`. */
export const redisResource = 'https://redis.azure.com'

/** Milliseconds between two looks at the token. */
const lookEveryMs = 30_000
/** Milliseconds for the identity endpoint. The source has a deadline of its own. */
const longestFetchMs = 60_000

/**
 * Authenticates with tokens of the broker's own managed identity: the user name is the identity's object id, the password
 * is the token (https://learn.microsoft.com/azure/redis/entra-for-authentication). Redis closes a connection whose token
 * has expired, so a renewed token is reported, for the live connections.
 *
 * @param tokens tokens for {@link redisResource}, which renews them in time, as `createAssertionCache` does. It is called for
 *   each connection, and every 30 s from the first one on
 */
export function entraCredentials(tokens: Pick<AssertionSource, 'get'>, everyMs = lookEveryMs): CredentialsSource {
  const listeners: ((credentials: RedisCredentials) => void)[] = []
  let known: string | undefined
  let timer: NodeJS.Timeout | undefined
  let isClosed = false

  const get = async (): Promise<RedisCredentials> => {
    const { token } = await tokens.get(AbortSignal.timeout(longestFetchMs))
    const credentials = { username: objectIdOf(token), password: token }
    const isRenewed = known !== undefined && known !== token
    known = token
    if (isRenewed) for (const listener of listeners) listener(credentials)
    return credentials
  }
  return {
    get: () => {
      // A token that cannot be renewed is reported once a connection needs it.
      if (!isClosed) timer ??= setInterval(() => void get().catch(() => undefined), everyMs).unref()
      return get()
    },
    onRenewed: listener => {
      listeners.push(listener)
    },
    close: () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}

/** @throws Error that does not contain the token */
function objectIdOf(token: string): string {
  const { oid } = decodeJwt(token)
  if (typeof oid === 'string' && isGuid(oid)) return oid
  throw new Error('the token of the managed identity for Redis has no object id (oid)')
}
