import { Server as TlsServer } from 'node:https'
import type { FastifyInstance } from 'fastify'
import type { TokenIssuer } from '../broker/issue-token.ts'
import type { Events } from '../broker/events.ts'
import type { Config } from '../config/config.ts'
import { buildApp, secureContextOf, type AppOptions } from '../http/server/app.ts'
import { addDocs } from '../http/operations/docs.ts'
import { addEntraDocument, addEntraToken } from '../http/token-endpoints/entra.ts'
import { addIdentity } from '../http/token-endpoints/identity.ts'
import { addOAuth, addOAuthMetadata } from '../http/token-endpoints/oauth.ts'
import { addOperations, countAnswers, type Operations } from '../http/operations/operations.ts'
import { createOverload, sampleMs, shedLoad } from '../http/server/load-shedding.ts'
import { addPurge, type Purge } from '../http/operations/purge.ts'
import { addTokens } from '../http/token-endpoints/tokens.ts'
import type { FollowedAuthorities } from '../outbound/files/client-authorities.ts'
import { readTlsPair, watchTlsPair, type TlsPair } from '../outbound/files/tls-files.ts'
import { packageRoot } from './package.ts'

/** Milliseconds beyond an exchange's time in which its answer is written. */
const graceMs = 1_000

type Shown = Omit<Operations, 'openMetrics'>

interface Surroundings extends Pick<AppOptions, 'log' | 'isDraining'> {
  readonly events: Pick<Events, 'answered' | 'headerIgnored'>
  readonly loopTime: () => number
}

/** The main server, and the one for operators where the configuration has one. */
export async function buildServers(
  config: Config,
  { log, isDraining, loopTime, events: { answered, headerIgnored } }: Surroundings,
  tokens: Purge & { readonly issuer: TokenIssuer },
  shown: Shown,
  authorities: FollowedAuthorities | undefined,
) {
  const tls = config.tls && (await readTlsPair(config.tls))
  const operations = (openMetrics: boolean) => (scope: FastifyInstance) => {
    countAnswers(scope, answered)
    addOperations(scope, { ...shown, openMetrics })
    addDocs(scope, packageRoot)
  }
  const documents = (scope: FastifyInstance) => {
    countAnswers(scope, answered)
    addOAuthMetadata(scope, config.publicUrl)
    addEntraDocument(scope, config)
  }
  const overload = watchLoop(loopTime)
  // Every way to ask for a token. Another one is a file in http/ and its name here.
  const ways = [addTokens, addOAuth, addEntraToken, addIdentity].map(add => (scope: FastifyInstance) => {
    shedLoad(scope, overload.isOverloaded)
    add(scope, tokens.issuer)
  })
  // In a scope of its own: a broker with too much to do can still be told to forget.
  const main = [...ways, (scope: FastifyInstance) => addPurge(scope, tokens), documents]
  const { trustedProxies } = config
  const current = () => authorities?.current()
  const peers = { trustedProxies, authorities: current, headerIgnored }
  const settings = { log, isDraining, answered, peers, tls: tls && { ...tls, ca: current()?.pem } }
  const { management: own } = config
  const app = buildApp(settings, own ? main : [...main, operations(false)])
  const management = own && buildApp(settings, [operations(true)])
  const unwatch = followTls(config, [app, management], tls, authorities, log)
  return {
    app,
    management,
    close: async () => {
      unwatch()
      overload.close()
      await closeServer(app, config.upstreamTimeoutMs + graceMs)
      if (management) await closeServer(management, graceMs)
    },
  }
}

/** Looks at the event loop, now and then. */
function watchLoop(time: () => number) {
  const { isOverloaded, sample } = createOverload(time)
  const timer = setInterval(sample, sampleMs).unref()
  return { isOverloaded, close: () => clearInterval(timer) }
}

/** Whatever is answered at all is answered within `giveUpMs`; what is left are clients that never finish their request. */
export async function closeServer(app: FastifyInstance, giveUpMs: number): Promise<void> {
  const giveUp = setTimeout(() => app.server.closeAllConnections(), giveUpMs)
  await app.close()
  clearTimeout(giveUp)
}

/** Gives the servers new certificates when their files change; @returns stops watching */
function followTls(
  { tls: paths }: Config,
  apps: readonly (FastifyInstance | undefined)[],
  first: TlsPair | undefined,
  authorities: FollowedAuthorities | undefined,
  log: AppOptions['log'],
): () => void {
  let pair = first
  const renew = (message: string): void => {
    const servers = apps.map(app => app?.server).filter(server => server instanceof TlsServer)
    for (const server of servers) {
      if (pair) server.setSecureContext(secureContextOf({ ...pair, ca: authorities?.current().pem }))
    }
    log.info(message)
  }
  const failed = (what: string) => (err: unknown) => log.error({ err }, what)
  authorities?.watch(() => {
    renew('the client authorities were renewed from their file')
    // Connections that are in use are closed after their answer: see addPeers.
    for (const app of apps) app?.server.closeIdleConnections()
  }, failed('the new client authorities cannot be used; those that were loaded before stay'))
  const unwatch =
    paths &&
    first &&
    watchTlsPair(
      paths,
      first,
      next => {
        pair = next
        renew('the TLS certificate was renewed from its files')
      },
      failed('the new TLS files cannot be used; the certificate that was loaded before stays'),
    )
  return () => {
    unwatch?.()
    authorities?.close()
  }
}
