import type { StoreFailure } from '../../../broker/tokens/second-level.ts'
import { BrokerError, codeOf, messageOf } from '../../../errors.ts'

/** By the code of the system or of TLS. */
const byCode: readonly (readonly [RegExp, StoreFailure])[] = [
  [/^ECONNREFUSED$/, 'refused'],
  [/^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/, 'timeout'],
  [/^(ENOTFOUND|EAI_\w+)$/, 'name'],
  [/^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|EPROTO$)/, 'tls'],
  [/^(ECONNRESET|EPIPE)$/, 'closed'],
]

/** By the first word of an error reply, or by a message of this folder or of the client library. */
const byMessage: readonly (readonly [RegExp, StoreFailure])[] = [
  [/^(WRONGPASS|NOAUTH|NOPERM) /, 'credential'],
  [/respon(d|se)|^Connection timeout$/, 'timeout'],
  [/closed/i, 'closed'],
]

/**
 * What kind of failure an error is, without its text: that of a server may be anything.
 * @param thrown by an attempt to connect, or the reason why a connection was lost
 */
export function failureOf(thrown: unknown): StoreFailure {
  // Of a name with several addresses.
  if (thrown instanceof AggregateError) return failureOf(thrown.errors[0])
  // The managed identity issued no token for Redis.
  if (thrown instanceof BrokerError) return 'credential'
  const [code, message] = [codeOf(thrown) ?? '', messageOf(thrown)]
  const found = byCode.find(([pattern]) => pattern.test(code)) ?? byMessage.find(([pattern]) => pattern.test(message))
  return found?.[1] ?? 'other'
}
