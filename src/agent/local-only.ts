import type { FastifyInstance, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { isLoopback } from '../broker/lib/origin.ts'
import { BrokerError } from '../errors.ts'

/** Headers that a proxy adds to a request. */
const forwarding = ['x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-real-ip', 'via'] as const

/**
 * Refuses requests that did not begin on this host, on the routes of a scope: those that a proxy forwarded, and those
 * whose `Host` is not a loopback name. A page in a browser sends such a `Host` after its own name was made to resolve
 * to loopback (DNS rebinding). The error is `invalid_request`.
 */
export function localOnly(app: FastifyInstance): void {
  app.addHook('onRequest', (request: FastifyRequest, _reply, done: HookHandlerDoneFunction) => {
    const { headers } = request
    if (forwarding.some(name => headers[name] !== undefined)) {
      done(new BrokerError('invalid_request', 'This agent serves its own host only. A proxy forwarded this request.'))
    } else if (!isOwnHost(headers.host)) {
      done(
        new BrokerError(
          'invalid_request',
          'This agent serves its own host only. The Host header is not a loopback name.',
        ),
      )
    } else {
      done()
    }
  })
}

/** Whether `Host` (RFC 9110 §7.2), with any port, is a loopback name, which no other machine can have. */
const isOwnHost = (host: string | undefined): boolean =>
  host !== undefined && isLoopback(host.toLowerCase().replace(/:\d{1,5}$/, ''))
