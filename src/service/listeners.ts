import { Server as TlsServer } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { hasNameConstraints } from '../broker/authentication/certificates/chain.ts'
import type { TokenService } from '../broker/issue-token.ts'
import type { Events } from '../broker/events.ts'
import type { Clock, LoopClocks } from '../broker/lib/clock.ts'
import type { ServerSpans } from '../broker/lib/spans.ts'
import type { Config } from '../config/config.ts'
import { buildApp, secureContextOf, type AppOptions } from '../http/server/app.ts'
import { addDashboard } from '../http/operations/dashboard/dashboard.ts'
import { addDocs } from '../http/operations/docs.ts'
import type { FindSignIn } from '../http/operations/dashboard/sign-in.ts'
import { tokenEndpoints } from '../http/token-endpoints/all.ts'
import { addEntraDocument } from '../http/token-endpoints/entra.ts'
import { addOAuthMetadata } from '../http/token-endpoints/oauth.ts'
import { addTokenEndpoint } from '../http/token-endpoints/token-endpoint.ts'
import { addOperations, countResponses, type Operations } from '../http/operations/operations.ts'
import { createOverloadDetector, sampleMs, shedLoad, type OverloadDetector } from '../http/server/load-shedding.ts'
import { addPurge, type Purge } from '../http/operations/purge.ts'
import type { FollowedAuthorities } from '../outbound/files/client-authorities.ts'
import type { FollowedCertificates } from './certificates.ts'
import { packageRoot } from './package.ts'

/** Milliseconds after the deadline of an exchange for writing its response. */
const graceMs = 1_000

/** What both listeners' operations endpoints need; only the credential of `/metrics` differs. */
type SharedOperations = Omit<Operations, 'openMetrics'>

interface ListenerOptions extends Pick<AppOptions, 'log' | 'isDraining' | 'flushLog'> {
  readonly events: Pick<Events, 'responded' | 'responseReady' | 'headerIgnored' | 'connectionDropped'>
  readonly loop: LoopClocks
  readonly clock: Clock
  /** Makes the spans of requests, if tracing is on. */
  readonly spans: ServerSpans | undefined
}

/** Builds the main server, and the management server if the configuration has one. They do not listen yet. */
export function buildListeners(
  config: Config,
  options: ListenerOptions,
  parts: SharedOperations & Purge & { readonly tokenService: TokenService; readonly signIn: FindSignIn },
  certificates: FollowedCertificates,
) {
  const { responded } = options.events
  const operations = (openMetrics: boolean) => (scope: FastifyInstance) => {
    countResponses(scope, responded)
    addOperations(scope, { ...parts, openMetrics })
    addDashboard(scope, packageRoot, parts.signIn)
    addDocs(scope, packageRoot)
  }
  const documents = (scope: FastifyInstance) => {
    countResponses(scope, responded)
    addOAuthMetadata(scope, config.publicUrl)
    addEntraDocument(scope, config)
  }
  const overload = watchLoop(options.loop)
  const endpoints = tokenEndpoints().map(endpoint => (scope: FastifyInstance) => {
    shedLoad(scope, overload.isOverloaded)
    addTokenEndpoint(scope, parts.tokenService, endpoint)
  })
  // In a scope of its own: an overloaded broker can still purge its cache.
  const main = [...endpoints, (scope: FastifyInstance) => addPurge(scope, parts), documents]
  const settings = appOptions(config, options, certificates)
  const { management: own } = config
  const app = buildApp(settings, own ? main : [...main, operations(false)])
  const management = own && buildApp(settings, [operations(true)])
  app.addHook('onListen', overload.start)
  const unwatch = followTls(config, [app, management], certificates, options.log)
  return {
    app,
    management,
    close: async () => {
      unwatch()
      overload.close()
      await closeListener(app, config.upstreamTimeoutMs + graceMs)
      if (management) await closeListener(management, graceMs)
    },
  }
}

/** The options of both servers. */
function appOptions(
  { trustedProxies, clientCertHeader }: Config,
  { log, isDraining, flushLog, clock, spans, events }: ListenerOptions,
  { authorities, tls }: FollowedCertificates,
): AppOptions {
  const { responded, responseReady, headerIgnored, connectionDropped } = events
  const current = () => authorities?.current()
  const pair = tls?.current()
  return {
    log,
    isDraining,
    ...(flushLog && { flushLog }),
    responded,
    connectionDropped,
    observation: { spans, timing: { monotonic: clock.monotonic, responseReady } },
    peers: { trustedProxies, clientCertHeader, authorities: current, now: clock.now, headerIgnored },
    tls: pair && { ...pair, ca: current()?.pem },
  }
}

/** Samples the delay of the event loop at regular intervals from the moment it listens: a start is no overload. */
function watchLoop(clocks: LoopClocks) {
  let detector: OverloadDetector | undefined
  let timer: NodeJS.Timeout | undefined
  return {
    isOverloaded: () => detector?.isOverloaded() ?? false,
    start: (done: () => void) => {
      detector = createOverloadDetector(clocks)
      timer = setInterval(detector.sample, sampleMs).unref()
      done()
    },
    close: () => clearInterval(timer),
  }
}

/**
 * Closes a server after the responses to its requests in progress are written. That takes less than `giveUpMs`
 * milliseconds. Connections that are still open then belong to clients that never finish their request, and are closed.
 */
export async function closeListener(app: FastifyInstance, giveUpMs: number): Promise<void> {
  const giveUp = setTimeout(() => app.server.closeAllConnections(), giveUpMs)
  await app.close()
  clearTimeout(giveUp)
}

/** The log message about authorities of which no forwarded certificate is accepted. */
export const constrainedMessage =
  'no certificate that a proxy forwards is accepted of these authorities: they have name constraints'

/** Log messages about new TLS files. */
export const tlsMessages = {
  renewed: 'TLS certificate reloaded',
  refused: 'the new TLS files cannot be used; the previous certificate stays in use',
} as const

/** Warns of authorities that cannot verify forwarded certificates. */
function warnOfConstraints(
  { clientCertHeader }: Config,
  authorities: FollowedAuthorities | undefined,
  log: AppOptions['log'],
): void {
  const constrained = clientCertHeader && authorities?.current().certificates.filter(hasNameConstraints)
  if (!constrained || constrained.length === 0) return
  log.warn({ subjects: constrained.map(({ subject }) => subject) }, constrainedMessage)
}

/** Gives the servers new certificates when the files change. @returns a function that stops watching */
function followTls(
  config: Config,
  apps: readonly (FastifyInstance | undefined)[],
  { tls, authorities, close }: FollowedCertificates,
  log: AppOptions['log'],
): () => void {
  const renew = (message: string): void => {
    const pair = tls?.current()
    const servers = apps.map(app => app?.server).filter(server => server instanceof TlsServer)
    for (const server of servers) {
      if (pair) server.setSecureContext(secureContextOf({ ...pair, ca: authorities?.current().pem }))
    }
    log.info(message)
  }
  const failed = (message: string) => (err: unknown) => log.error({ err }, message)
  const warn = (): void => warnOfConstraints(config, authorities, log)
  warn()
  authorities?.watch(() => {
    renew('client CA certificates reloaded')
    warn()
    // Connections that are in use are closed after their response: see addPeerLookup.
    for (const app of apps) app?.server.closeIdleConnections()
  }, failed('the new client CA certificates cannot be used; the previous ones stay in use'))
  tls?.watch(() => renew(tlsMessages.renewed), failed(tlsMessages.refused))
  return close
}
