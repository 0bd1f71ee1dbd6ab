import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../../errors.ts'

/** UTF-8, and US-ASCII, which is a subset of it. */
const readable = /;[\t ]*charset=(?:(?:utf-?8|us-ascii)|"(?:utf-?8|us-ascii)")[\t ]*(?=;|$)/gi

/**
 * Throws `unsupported_media_type` if the headers declare a body that is not plain UTF-8. The broker reads it as UTF-8, so
 * its sender, or a proxy that inspects it, could read it differently. Charsets are those of `Content-Type` (RFC 9110
 * §8.3.2), codings those of `Content-Encoding` (RFC 9110 §8.4).
 */
export function checkPlainText({ headers }: Pick<FastifyRequest, 'headers'>): void {
  const { 'content-type': type = '', 'content-encoding': coding = 'identity' } = headers
  // What nearly all callers send, without a search.
  if (type === 'application/json' && coding === 'identity') return
  const named = type.match(/charset/gi)?.length ?? 0
  const good = named === 0 ? 0 : (type.match(readable)?.length ?? 0)
  if (named === good && coding.toLowerCase() === 'identity') return
  throw new BrokerError('unsupported_media_type', 'Send the body in UTF-8, and without Content-Encoding.')
}
