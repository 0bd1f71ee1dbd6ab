import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../errors.ts'
import { closeIfEarly, isAfterEarlyResponse } from './early-responses.ts'

/**
 * Adds what happens to every request first, whatever its route.
 * @param isDraining whether each connection is closed after its response
 */
export function addRequestChecks(app: FastifyInstance, isDraining: () => boolean): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (isAfterEarlyResponse(request, reply)) {
      reply.hijack()
      return
    }
    // No route reads the body of a GET.
    if (request.method === 'GET') closeIfEarly(request, reply)
    if (isDraining()) reply.header('connection', 'close')
    // Node by itself would respond without a body (RFC 9112 §3.2).
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      done(new BrokerError('invalid_request', 'The Host header is missing.'))
    } else {
      done()
    }
  })
}
