import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { closeIfEarly, isAfterEarlyResponse } from './early-responses.ts'
import { isPathOf, pathOf } from './known-paths.ts'

/** A name, an IPv4 address, or an IPv6 address in brackets; with a port or without. */
const hostShape = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{0,5})?$/i
const slash = 47

/**
 * Adds what happens to every request first, whatever its route. A request that another server, or a proxy in front of this
 * one, may read in another way is `invalid_request`.
 *
 * @param isDraining whether each connection is closed after its response
 */
export function addRequestChecks(app: FastifyInstance, isDraining: () => boolean): void {
  let usualHost: string | undefined
  const { timing } = app
  app.addHook('onRequest', (request, reply, done) => {
    timing?.begin(request)
    if (isAfterEarlyResponse(request, reply)) {
      reply.hijack()
      return
    }
    // No route reads the body of a GET.
    if (request.method === 'GET') closeIfEarly(request, reply)
    if (isDraining()) reply.header('connection', 'close')
    const { host } = request.headers
    const wrong =
      versionError(request) ??
      (host !== undefined && host === usualHost ? undefined : hostError(request)) ??
      targetError(request)
    if (wrong === undefined) {
      usualHost = host
      done()
    } else {
      done(new BrokerError('invalid_request', wrong))
    }
  })
}

/** Node's parser accepts further versions, in the syntax of HTTP/1.1. */
const versionError = ({ raw: { httpVersion } }: FastifyRequest): string | undefined =>
  httpVersion === '1.1' || httpVersion === '1.0' ? undefined : 'The request is not HTTP/1.1.'

/** Node by itself would respond without a body to a missing Host (RFC 9112 §3.2), and joins several with a comma. */
function hostError({ headers: { host }, raw }: FastifyRequest): string | undefined {
  if (host === undefined) return raw.httpVersion === '1.1' ? 'The Host header is missing.' : undefined
  return hostShape.test(host) ? undefined : 'The Host header must be one host, with a port or without.'
}

/** Fastify decodes a path before it finds the route, and ignores a fragment, and the authority of an absolute target. */
function targetError(request: FastifyRequest): string | undefined {
  const { url } = request
  const percent = url.indexOf('%')
  const isPlain = percent === -1 || url.lastIndexOf('?', percent) !== -1
  if (isPlain && url.charCodeAt(0) === slash && !url.includes('#')) return undefined
  if (url.includes('#')) return 'The request target must not have a fragment.'
  const {
    routeOptions: route,
    headers: { host = '' },
  } = request
  const authority = /^https?:\/\/([^/?]*)/i.exec(url)?.[1]
  if (authority !== undefined && authority.toLowerCase() !== host.toLowerCase()) {
    return 'The authority of the request target differs from the Host header.'
  }
  if (route.url === undefined || isPathOf(route.url, pathOf(url))) return undefined
  return 'The path must not be percent-encoded, except for its parameters.'
}
