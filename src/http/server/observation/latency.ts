import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Events, ResponseClass } from '../../../broker/events.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Times requests; `undefined` if they are not timed. */
    timing: RequestTiming | undefined
  }
  interface FastifyRequest {
    /** When its headers were read, in monotonic milliseconds; NaN if it is not timed, or was reported. */
    began: number
    /** When the broker began to wait for its body, in monotonic milliseconds; NaN before, and once the body was read. */
    waitsSince: number
  }
}

/** How requests are timed. */
export interface Timing {
  /** Monotonic milliseconds. */
  readonly monotonic: () => number
  readonly responseReady: Events['responseReady']
}

/** The number of requests that are timed in each tenth of a second, at most. */
export const mostTimed = 100
const tickMs = 100

/**
 * Times requests, from {@link begin} to {@link report}: all, up to {@link mostTimed} in a tenth of a second. At higher rates,
 * it is a sample. Neither the time in which a client sends the body counts, nor that in which it reads the response: no
 * client can make the broker look slow.
 */
export class RequestTiming {
  readonly #monotonic: Timing['monotonic']
  readonly #responseReady: Timing['responseReady']
  #left = mostTimed

  constructor({ monotonic, responseReady }: Timing) {
    this.#monotonic = monotonic
    this.#responseReady = responseReady
  }

  /** Begins a tenth of a second. */
  readonly refill = (): void => {
    this.#left = mostTimed
  }

  /** The request's headers have been read. */
  begin(request: FastifyRequest): void {
    if (this.#left === 0) return
    this.#left -= 1
    request.began = this.#monotonic()
  }

  /** From now on, the broker waits for the request's body. */
  readonly waitForBody = (request: FastifyRequest): void => {
    if (request.began >= 0) request.waitsSince = this.#monotonic()
  }

  /** The request's body has been read: the time since {@link waitForBody} does not count. */
  bodyArrived(request: FastifyRequest): void {
    if (!(request.waitsSince >= 0)) return
    request.began += this.#monotonic() - request.waitsSince
    request.waitsSince = Number.NaN
  }

  /**
   * Reports the duration of a request, once. Until its body has been read, the time ends where the wait for it began.
   *
   * @param endpoint the name of the request's endpoint
   */
  report(request: FastifyRequest, endpoint: string, outcome: ResponseClass): void {
    const { began, waitsSince } = request
    // Fastify reports a path that it cannot decode with a request that has neither field.
    if (!(began >= 0)) return
    request.began = Number.NaN
    const end = waitsSince >= 0 ? waitsSince : this.#monotonic()
    this.#responseReady(endpoint, outcome, (end - began) / 1000)
  }
}

/**
 * Makes the requests of a server ready to be timed. It adds no hook: those that exist, and the endpoints, call
 * {@link RequestTiming}, which they read of the server when they are added.
 */
export function timeRequests(app: FastifyInstance, settings: Timing | undefined): void {
  const timing = settings && new RequestTiming(settings)
  app.decorate('timing', timing)
  app.decorateRequest('began', Number.NaN)
  app.decorateRequest('waitsSince', Number.NaN)
  if (timing === undefined) return
  const timer = setInterval(timing.refill, tickMs).unref()
  app.addHook('onClose', (_app, done) => {
    clearInterval(timer)
    done()
  })
}

/** Reports every response of a scope's routes that nothing else reports. */
export function reportResponses(scope: FastifyInstance): void {
  const { timing } = scope
  if (timing === undefined) return
  scope.addHook('onSend', (request, { statusCode }, _payload, done) => {
    const { endpoint } = request.routeOptions.config
    if (endpoint !== undefined) timing.report(request, endpoint, classOf(statusCode))
    done()
  })
}

/** The class of a response that has no token. */
export function classOf(status: number): ResponseClass {
  if (status >= 500) return 'server_error'
  return status >= 400 ? 'client_error' : 'ok'
}
