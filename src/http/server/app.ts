import { constants, randomBytes } from 'node:crypto'
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { Events } from '../../broker/events.ts'
import { BrokerError, type ErrorCode } from '../../errors.ts'
import { answerClientError, answerUnroutable } from './client-errors.ts'
import { KnownPaths } from './known-paths.ts'
import { addPeers, type PeerOptions } from './peers.ts'
import { answerProblem, errorOf, limitHeaders, type AnswerError } from './problems.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The name under which a route's requests are counted. */
    endpoint?: string
    /** How the route's errors are told; as problem details if absent. */
    answerError?: AnswerError
    /** Paths that begin so and lead nowhere are answered in the route's way too. */
    below?: string
  }
}

export interface AppOptions {
  readonly log: FastifyBaseLogger
  /** Whether the service is about to stop, so that connections should not be kept. */
  readonly isDraining: () => boolean
  /** Told of every request that ends in an error. */
  readonly answered: Events['answered']
  /** PEM texts; plain http without them. With `ca`, clients are asked for certificates of these authorities. */
  readonly tls?: TlsOptions | undefined
  /** Whom a request may come from; by default from the peer itself, which has no certificate. */
  readonly peers?: PeerOptions
  /** Milliseconds for a TLS handshake. */
  readonly handshakeMs?: number
}

/** A server's own certificate, and whose clients it knows. */
export interface TlsOptions {
  readonly cert: string
  readonly key: string
  readonly ca?: string | undefined
}

/**
 * What TLS is made of, also when it is renewed. Sessions are not resumed where clients have certificates: a resumed one
 * would not be verified again.
 */
export const secureContextOf = ({ cert, key, ca }: TlsOptions) =>
  ({
    cert,
    key,
    minVersion: 'TLSv1.2', // RFC 9325 §3.1.1
    ...(ca !== undefined && { ca, secureOptions: constants.SSL_OP_NO_TICKET }),
  }) as const

/** Bearers need no certificate, and who has a bad one is told so in HTTP. */
const asking = ({ ca }: TlsOptions) => ({ requestCert: ca !== undefined, rejectUnauthorized: false })

const noProxies: PeerOptions = {
  trustedProxies: [],
  authorities: () => undefined,
  headerIgnored: () => undefined,
}

/** Adds routes to a server: each in a scope of its own, in the order in which they are given. */
export type AddRoutes = (scope: FastifyInstance) => void

/** The endpoint of requests that reached no route. */
const noEndpoint = 'none'

/** Milliseconds for a TLS handshake; Node would wait for two minutes. */
const longestHandshakeMs = 10_000
/** Connections of a listener at once, those whose handshake is under way included; one more is closed. */
export const maxConnections = 10_000

const maxBodyBytes = 16 * 1024
/** Node's own, for http and https alike. */
const serverOptions = {
  maxHeaderSize: 16 * 1024,
  // The hook below answers with a body.
  requireHostHeader: false,
  connectionsCheckingInterval: 5_000,
  // Two Authorization headers become one credential that nobody accepts; Node would take the first in silence.
  joinDuplicateHeaders: true,
} as const

const httpsOptions = (tls: TlsOptions, handshakeTimeout = longestHandshakeMs) => ({
  ...secureContextOf(tls),
  ...serverOptions,
  ...asking(tls),
  handshakeTimeout,
})

/**
 * Schemas describe; nothing is validated or written by them. Given this in the place of its own compilers, Fastify does not
 * load them, and the image is without them.
 */
const unused = (): never => {
  throw new Error('a schema was to be compiled')
}

/** A server, built but not listening: what production runs and what tests send requests to. */
export function buildApp(options: AppOptions, routes: readonly AddRoutes[]): FastifyInstance {
  const newId = requestIds()
  const unrouted = (code: ErrorCode | undefined): void => {
    if (code !== undefined) options.answered(noEndpoint, code)
  }
  const app: FastifyInstance = fastify({
    loggerInstance: options.log,
    // One line a decision is the audit's; a logger of its own for each request would cost more than the request.
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: logger => logger,
    genReqId: newId,
    requestIdHeader: false,
    bodyLimit: maxBodyBytes,
    // Longer than the 240 s of Azure's ingress, which must be the one to close idle connections.
    keepAliveTimeout: 245_000,
    requestTimeout: 15_000,
    // For clients that take no answer: longer than the longest exchange.
    connectionTimeout: 75_000,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // Parameters of any length reach their route, which says what is wrong with them.
    routerOptions: { ignoreTrailingSlash: false, caseSensitive: true, maxParamLength: serverOptions.maxHeaderSize },
    exposeHeadRoutes: false,
    schemaController: { compilersFactory: { buildValidator: unused, buildSerializer: unused } },
    http: serverOptions,
    ...(options.tls && { https: httpsOptions(options.tls, options.handshakeMs) }),
    clientErrorHandler: (error, socket) => unrouted(answerClientError(error, socket, newId())),
    frameworkErrors: (error, request, reply) => {
      sendProblem(options, error, request, reply)
    },
  })
  app.server.maxConnections = maxConnections
  answerUnroutable(app.server, newId, unrouted)
  addPeers(app, options.peers ?? noProxies)
  app.removeAllContentTypeParsers()
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => JSON.stringify)
  app.decorateRequest('caller', undefined)
  app.decorateRequest('facts', undefined)
  app.setErrorHandler((thrown, request, reply) => sendProblem(options, thrown, request, reply))

  app.addHook('onRequest', (request, reply, done) => {
    if (options.isDraining()) reply.header('connection', 'close')
    // Node would answer this itself, without a body, if it were left to it (RFC 9112 §3.2).
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      done(new BrokerError('invalid_request', 'The Host header is missing.'))
    } else {
      done()
    }
  })
  addAll(app, options, routes)
  return app
}

function addAll(app: FastifyInstance, options: AppOptions, routes: readonly AddRoutes[]): void {
  const paths = new KnownPaths()
  app.addHook('onRoute', ({ url, method, config = {} }) => paths.add(url, [method].flat(), config))
  for (const add of routes) {
    void app.register((scope, _options, registered) => {
      add(scope)
      registered()
    })
  }

  app.setNotFoundHandler((request, reply) => {
    const { methods, answerError } = paths.at(request.url.split('?', 1)[0] ?? '')
    if (methods === undefined) {
      const unknown = new BrokerError('not_found', 'No endpoint has this path.')
      return sendProblem(options, unknown, request, reply, answerError)
    }
    const allowed = methods.join(', ')
    const wrong = new BrokerError('method_not_allowed', `This endpoint answers ${allowed}.`)
    return sendProblem(options, wrong, request, reply.header('allow', allowed), answerError)
  })
}

function sendProblem(
  { log, answered }: AppOptions,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  answerError = request.routeOptions.config.answerError ?? answerProblem,
): FastifyReply {
  const error = errorOf(thrown)
  if (error.code === 'internal_error') {
    log.error({ request_id: request.id, err: error.cause ?? error }, 'a request failed unexpectedly')
  }
  answered(request.routeOptions.config.endpoint ?? noEndpoint, error.code)
  const { status, headers, body } = answerError(error, request)
  const { limit } = error.parts
  return reply
    .code(status)
    .headers(limit ? { ...headers, ...limitHeaders(limit) } : headers)
    .send(body)
}

/** Ids that are unique across replicas and cheap: a random prefix per process and a counter. */
function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}
