import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify'
import type { TSchema } from 'typebox'
import { asBrokerError, BrokerError } from '../../errors.ts'
import { continueSpan } from './observation/server-spans.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The bodies that a `POST` route reads. Routes of other methods read none. */
    body?: BodyFormat
  }
}

/** The bodies that a route reads. */
export interface BodyFormat {
  readonly mediaType: string
  /** Makes `request.body` of the body's bytes, which are valid only during the call. May throw a BrokerError. */
  readonly parse: (bytes: Buffer) => unknown
  /** For `openapi.yaml` only: no request is validated by it. */
  readonly schema?: TSchema
}

/** The largest body that is read. */
export const maxBodyBytes = 16 * 1024

/**
 * Makes the `POST` routes of a server read bodies, each as its `config.body` says, before their other `preValidation` hooks.
 * Fastify itself would read each body in an asynchronous resource of its own, and make a text of it; without either, a cached
 * token costs a tenth less.
 *
 * A request without a body keeps `request.body` undefined. Others may fail with `unsupported_media_type`, `too_large`,
 * `invalid_request` if the client closes the connection meanwhile, or the error of `parse`.
 */
export function readBodies(app: FastifyInstance): void {
  app.addHttpMethod('POST', { hasBody: false, overrideExisting: true })
  app.addHook('onRoute', route => {
    const { method, url, config, preValidation = [] } = route
    if (![method].flat().includes('POST')) return
    // A response to a request whose body is not read would let the body be taken for another request.
    if (config?.body === undefined) throw new Error(`POST ${url} must have config.body`)
    route.preValidation = [readBody(config.body), ...[preValidation].flat()]
  })
}

const readBody =
  ({ mediaType, parse }: BodyFormat): preValidationHookHandler =>
  (request, _reply, done) => {
    const { raw, headers } = request
    const { 'content-length': length = '0' } = headers
    if (length === '0' && headers['transfer-encoding'] === undefined) return done()
    const wrong = formatError(request, headers, mediaType) ?? (Number(length) > maxBodyBytes ? tooLarge() : undefined)
    if (wrong) return done(wrong)
    receive(raw, (error, bytes) => {
      if (error) return done(error)
      request.server.timing?.bodyArrived(request)
      try {
        request.body = parse(bytes)
      } catch (thrown) {
        return done(asBrokerError(thrown))
      }
      continueSpan(request, done)
    })
  }

const none = Buffer.alloc(0)

/**
 * Receives a body, and calls `done` once: with an error if it is too large, or the client closes the connection. A client
 * may send each byte in a chunk of its own, so chunks are copied into one buffer and not kept.
 */
function receive(raw: IncomingMessage, done: (error: BrokerError | undefined, bytes: Buffer) => void): void {
  let bytes: Buffer = none
  let length = 0
  let isDone = false
  const finish = (error?: BrokerError): void => {
    if (isDone) return
    isDone = true
    done(error, bytes.length === length ? bytes : bytes.subarray(0, length))
  }
  raw.on('data', (chunk: Buffer) => {
    // What still arrives of a body that is too large is discarded.
    if (isDone) return
    if (length + chunk.length > maxBodyBytes) return finish(tooLarge())
    // Most bodies are one chunk, which need not be copied.
    bytes = length === 0 ? chunk : appended(bytes, length, chunk)
    length += chunk.length
  })
  raw.on('end', () => finish())
  raw.on('error', cause => finish(new BrokerError('invalid_request', 'The body did not arrive.', { cause })))
}

/** A buffer with the first `length` of `bytes`, and the chunk: the same if there is room, or one of twice the size. */
function appended(bytes: Buffer, length: number, chunk: Buffer): Buffer {
  const needed = length + chunk.length
  const buffer = bytes.length < needed ? Buffer.allocUnsafeSlow(Math.min(2 * needed, maxBodyBytes)) : bytes
  if (buffer !== bytes) bytes.copy(buffer, 0, 0, length)
  chunk.copy(buffer, length)
  return buffer
}

const tooLarge = () => new BrokerError('too_large', `The body must not be larger than ${maxBodyBytes / 1024} KiB.`)

/** UTF-8, and US-ASCII, which is a subset of it. */
const readable = /;[\t ]*charset=(?:(?:utf-?8|us-ascii)|"(?:utf-?8|us-ascii)")[\t ]*(?=;|$)/gi

/**
 * The error of a body that is of another media type, or not plain UTF-8. The broker reads it as UTF-8, so its sender, or a
 * proxy that inspects it, could read it differently. Charsets are those of `Content-Type` (RFC 9110 §8.3.2), codings those
 * of `Content-Encoding` (RFC 9110 §8.4).
 */
function formatError(
  request: FastifyRequest,
  { 'content-type': type = '', 'content-encoding': coding }: IncomingHttpHeaders,
  mediaType: string,
): BrokerError | undefined {
  // What nearly all callers send, without a search.
  if (type === mediaType && coding === undefined) return undefined
  // Undefined for a malformed Content-Type.
  if (request.mediaType !== mediaType) return unsupported(`Send "Content-Type: ${mediaType}".`)
  const named = type.match(/charset/gi)?.length ?? 0
  const good = named === 0 ? 0 : (type.match(readable)?.length ?? 0)
  const isPlain = coding === undefined || coding.toLowerCase() === 'identity'
  if (named === good && isPlain) return undefined
  return unsupported('Send the body in UTF-8, and without Content-Encoding.')
}

const unsupported = (detail: string) => new BrokerError('unsupported_media_type', detail)
