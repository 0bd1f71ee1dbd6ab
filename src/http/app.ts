import { randomBytes } from 'node:crypto'
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { TokenIssuer } from '../broker/issue-token.ts'
import { BrokerError } from '../errors.ts'
import { answerClientError, answerUnroutable } from './client-errors.ts'
import { addProbes } from './operations.ts'
import { errorOf, problemOf } from './problems.ts'
import { addTokens } from './tokens.ts'

export interface AppOptions {
  readonly issuer: TokenIssuer
  readonly log: FastifyBaseLogger
  /** Whether the service should get requests. */
  readonly isReady: () => boolean
  /** Whether the service is about to stop, so that connections should not be kept. */
  readonly isDraining: () => boolean
  /** PEM texts; plain http without them. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
}

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

/** The server, built but not listening: what production runs and what tests inject requests into. */
export function buildApp(options: AppOptions): FastifyInstance {
  const newId = requestIds()
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
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: false, caseSensitive: true },
    exposeHeadRoutes: false,
    http: serverOptions,
    ...(options.tls && { https: { ...options.tls, ...serverOptions, minVersion: 'TLSv1.2' } }),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, newId()),
    frameworkErrors: (error, request, reply) => {
      sendProblem(options, error, request, reply)
    },
  })
  answerUnroutable(app.server, newId)
  app.removeAllContentTypeParsers()
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
  addRoutes(app, options)
  return app
}

function addRoutes(app: FastifyInstance, options: AppOptions): void {
  const methods = new Map<string, string[]>()
  app.addHook('onRoute', ({ url, method }) => {
    methods.set(url, [...(methods.get(url) ?? []), ...[method].flat()])
  })
  addProbes(app, options.isReady)
  addTokens(app, options.issuer)

  app.setNotFoundHandler((request, reply) => {
    const allowed = methods.get(request.url.split('?', 1)[0] ?? '')
    if (allowed === undefined) throw new BrokerError('not_found', 'No endpoint has this path.')
    reply.header('allow', allowed.join(', '))
    throw new BrokerError('method_not_allowed', `This endpoint answers ${allowed.join(', ')}.`)
  })
}

function sendProblem({ log }: AppOptions, thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = errorOf(thrown)
  if (error.code === 'internal_error') {
    log.error({ request_id: request.id, err: error.cause ?? error }, 'a request failed unexpectedly')
  }
  const { status, headers, body } = problemOf(error, request.id)
  return reply.code(status).headers(headers).send(body)
}

/** Ids that are unique across replicas and cheap: a random prefix per process and a counter. */
function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}
