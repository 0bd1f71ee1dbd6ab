import { constants } from 'node:crypto'
import { fastify, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Events } from '../../broker/events.ts'
import { BrokerError, type ErrorCode } from '../../errors.ts'
import { writeClientError, respondToUnroutable } from './client-errors.ts'
import { limitConnections } from './connections.ts'
import { KnownPaths } from './known-paths.ts'
import { addPeerLookup, type PeerOptions } from './peers/peers.ts'
import type { Protocol } from './problems.ts'
import { ResponseBatch } from './prepared-response.ts'
import { readBodies } from './request-body.ts'
import { addRequestChecks } from './request-checks.ts'
import { observeRequests, type Observation } from './observation/observation.ts'
import { requestIds } from './observation/request-ids.ts'
import { noEndpoint, sendProblem, type ProblemParts } from './send-problem.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route's name in metrics and in the audit log. */
    endpoint?: string
    /** How the route reports its errors; as problem details if absent. */
    protocol?: Protocol
    /** A prefix of paths without a route: their errors are in the route's protocol too. */
    below?: string
    /**
     * Headers that only the route's protocol has. Errors of a request with one of them, to a path without a route, are in
     * that protocol too, and name the route's path.
     */
    marks?: readonly string[]
    /** Whether `GET /` is redirected to the route. */
    isHome?: boolean
  }
}

/** What a server needs. */
export interface AppOptions {
  /** Gets unexpected errors. Fastify's own messages, which are about misuse of its API, are not logged. */
  readonly log: FastifyBaseLogger
  /** Whether the service is about to stop, so that connections should not be kept. */
  readonly isDraining: () => boolean
  /** Called for every request that ends in an error. */
  readonly responded: Events['responded']
  /** PEM texts; plain http if absent. With `ca`, the server requests client certificates of these authorities. */
  readonly tls?: TlsOptions | undefined
  /** How to find a request's client; by default it is the peer itself, without a certificate. */
  readonly peers?: PeerOptions
  /** Called for every connection that is dropped because there are too many. */
  readonly connectionDropped?: Events['connectionDropped']
  /** Concurrent connections; by default 10,000. */
  readonly mostConnections?: number
  /** Milliseconds for a TLS handshake. */
  readonly handshakeMs?: number
  /** Milliseconds in which a request must arrive, with its body. */
  readonly arrivalMs?: number
  readonly observation?: Observation
  /** Writes what was logged. Called before the responses of a {@link ResponseBatch} are written. */
  readonly flushLog?: () => void
}

/** A server's own certificate, and the authorities of its clients' certificates. */
export interface TlsOptions {
  readonly cert: string
  readonly key: string
  readonly ca?: string | undefined
}

/**
 * The server's TLS settings, at the start and when they are renewed. With client certificates, sessions are not resumed: a
 * resumed one would not be verified again.
 */
export const secureContextOf = ({ cert, key, ca }: TlsOptions) =>
  ({
    cert,
    key,
    minVersion: 'TLSv1.2', // RFC 9325 §3.1.1
    ...(ca !== undefined && { ca, secureOptions: constants.SSL_OP_NO_TICKET }),
  }) as const

/**
 * With authorities, TLS requests a client certificate but rejects none: callers with a bearer token need no certificate,
 * and the error for a bad one is an HTTP response.
 */
const clientCertificateOptions = ({ ca }: TlsOptions) => ({ requestCert: ca !== undefined, rejectUnauthorized: false })

const noProxies: PeerOptions = {
  trustedProxies: [],
  authorities: () => undefined,
  now: Date.now,
  headerIgnored: () => undefined,
}

/** Adds routes to one scope of a server. Each gets a scope of its own, in the given order. */
export type AddRoutes = (scope: FastifyInstance) => void

/** Milliseconds for a TLS handshake; Node would wait for two minutes. */
const longestHandshakeMs = 10_000
/** Options of Node's own server, the same for HTTP and HTTPS. */
export const serverOptions = {
  maxHeaderSize: 16 * 1024,
  // The hook below responds with a body.
  requireHostHeader: false,
  // Two Authorization headers become one invalid credential; Node would use the first without notice.
  joinDuplicateHeaders: true,
} as const

/** Milliseconds in which a request must arrive: its headers and its body together. */
const longestArrivalMs = 15_000

/**
 * Both limits are the same: where the one for the headers is longer, Node exchanges them, and a slow body has the longer
 * one.
 */
const arrivalOptions = (ms = longestArrivalMs) => ({
  headersTimeout: ms,
  requestTimeout: ms,
  connectionsCheckingInterval: ms / 15,
})

const httpsOptions = (tls: TlsOptions, handshakeTimeout = longestHandshakeMs) => ({
  ...secureContextOf(tls),
  ...clientCertificateOptions(tls),
  handshakeTimeout,
})

/**
 * Stands for Fastify's schema compilers. Schemas only describe the API: nothing is validated or serialised by them. So
 * Fastify does not load its own compilers, and the image does not contain them.
 */
const unused = (): never => {
  throw new Error('a schema must not be compiled')
}

/** A server, built but not listening: the same in production and in tests. */
export function buildApp(options: AppOptions, routes: readonly AddRoutes[]): FastifyInstance {
  const newId = requestIds()
  const countUnrouted = (code: ErrorCode | undefined): void => {
    if (code !== undefined) options.responded(noEndpoint, code)
  }
  const parts = { ...options, paths: new KnownPaths() }
  const responses = new ResponseBatch(options.flushLog ?? (() => undefined))
  const http = { ...serverOptions, ...arrivalOptions(options.arrivalMs) }
  const app: FastifyInstance = fastify({
    // The audit log has a line for each decision, and errors are logged below.
    logger: false,
    genReqId: newId,
    requestIdHeader: false,
    // Longer than the 240 s of Azure's ingress, which must close idle connections first.
    keepAliveTimeout: 245_000,
    requestTimeout: http.requestTimeout,
    // For clients that do not read the response: longer than the longest exchange.
    connectionTimeout: 75_000,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // Parameters of any length reach their route, which reports what is wrong with them.
    routerOptions: { ignoreTrailingSlash: false, caseSensitive: true, maxParamLength: serverOptions.maxHeaderSize },
    exposeHeadRoutes: false,
    schemaController: { compilersFactory: { buildValidator: unused, buildSerializer: unused } },
    http,
    ...(options.tls && { https: { ...http, ...httpsOptions(options.tls, options.handshakeMs) } }),
    clientErrorHandler: (error, socket) => {
      responses.flush()
      countUnrouted(writeClientError(error, socket, newId()))
    },
    frameworkErrors: (error, request, reply) => {
      sendProblem(parts, error, request, reply)
    },
  })
  limitConnections(app.server, options.connectionDropped ?? (() => undefined), options.mostConnections)
  respondToUnroutable(app.server, newId, countUnrouted, responses.flush)
  addPeerLookup(app, options.peers ?? noProxies)
  app.removeAllContentTypeParsers()
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorate('responses', responses)
  app.decorateRequest('caller', undefined)
  app.decorateRequest('facts', undefined)
  app.setErrorHandler((thrown, request, reply) => sendProblem(parts, thrown, request, reply))

  observeRequests(app, options.observation)
  addRequestChecks(app, options.isDraining)
  readBodies(app)
  addAll(app, parts, routes)
  return app
}

function addAll(app: FastifyInstance, parts: ProblemParts, routes: readonly AddRoutes[]): void {
  const { paths } = parts
  app.addHook('onRoute', ({ url, method, config = {} }) => paths.add(url, [method].flat(), config))
  for (const add of routes) {
    void app.register((scope, _options, registered) => {
      add(scope)
      registered()
    })
  }

  app.setNotFoundHandler((request, reply) => {
    const { methods, protocol, hint, home } = paths.at(request.url, request.headers)
    if (home !== undefined && request.method === 'GET') return reply.redirect(home)
    if (methods === undefined) {
      const unknown = new BrokerError('not_found', `No endpoint has this path.${hint}`)
      return sendProblem(parts, unknown, request, reply, protocol)
    }
    const allowed = methods.join(', ')
    const wrong = new BrokerError('method_not_allowed', `This endpoint allows ${allowed}.${hint}`)
    return sendProblem(parts, wrong, request, reply.header('allow', allowed), protocol)
  })
}
