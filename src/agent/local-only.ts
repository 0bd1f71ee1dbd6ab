import type { FastifyInstance, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { isLoopback } from '../broker/lib/origin.ts'
import { BrokerError } from '../errors.ts'

/** Headers by which a proxy says for whom it asks. */
const forwarding = ['x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-real-ip', 'via'] as const

/**
 * Refuses, on the routes of a scope, requests that did not begin on this host: those that a proxy passes on, and those
 * whose `Host` is another's name, as a page in a browser can send once its own name resolves to loopback (DNS rebinding).
 */
export function localOnly(app: FastifyInstance): void {
  app.addHook('onRequest', (request: FastifyRequest, _reply, done: HookHandlerDoneFunction) => {
    const { headers } = request
    if (forwarding.some(name => headers[name] !== undefined)) {
      done(new BrokerError('invalid_request', 'This agent serves its own host only; the request was forwarded.'))
    } else if (!isOwnHost(headers.host)) {
      done(new BrokerError('invalid_request', 'This agent serves its own host only; Host names another.'))
    } else {
      done()
    }
  })
}

/** `Host` (RFC 9110 §7.2), with any port: a name of loopback that no other machine can have. */
const isOwnHost = (host: string | undefined): boolean =>
  host !== undefined && isLoopback(host.toLowerCase().replace(/:\d{1,5}$/, ''))
