import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../../errors.ts'

/** UTF-8, and what is a part of it. */
const readable = /;[\t ]*charset=(?:(?:utf-?8|us-ascii)|"(?:utf-?8|us-ascii)")[\t ]*(?=;|$)/gi

/**
 * Throws `unsupported_media_type` where a body says that it is not plain UTF-8: it was read as such, and whoever sent it,
 * or looked at it on the way, may have meant something else. Charsets are those of `Content-Type` (RFC 9110 §8.3.2),
 * codings those of `Content-Encoding` (RFC 9110 §8.4).
 */
export function checkPlainText({ headers }: Pick<FastifyRequest, 'headers'>): void {
  const { 'content-type': type = '', 'content-encoding': coding = 'identity' } = headers
  const named = type.match(/charset/gi)?.length ?? 0
  const good = named === 0 ? 0 : (type.match(readable)?.length ?? 0)
  if (named === good && coding.toLowerCase() === 'identity') return
  throw new BrokerError('unsupported_media_type', 'Send the body in UTF-8, and without Content-Encoding.')
}
