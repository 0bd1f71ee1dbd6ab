import { Server as TlsServer } from 'node:https'
import type { FastifyInstance } from 'fastify'
import type { TokenIssuer } from './broker/issue-token.ts'
import type { Config } from './config.ts'
import { buildApp, type AppOptions } from './http/app.ts'
import { addDocs } from './http/docs.ts'
import { addEntraDocument, addEntraToken } from './http/entra-token.ts'
import { addIdentity } from './http/identity.ts'
import { addOAuth, addOAuthMetadata } from './http/oauth.ts'
import { addOperations, countAnswers, type Operations } from './http/operations.ts'
import { addPurge, type Purge } from './http/purge.ts'
import { addTokens } from './http/tokens.ts'
import { minTlsVersion, readTlsPair, watchTlsPair } from './outbound/tls-files.ts'
import { packageRoot } from './package.ts'

/** Milliseconds beyond an exchange's time in which its answer is written. */
const graceMs = 1_000

type Shown = Omit<Operations, 'openMetrics'>

/** The main server, and the one for operators where the configuration has one. */
export async function buildServers(
  config: Config,
  options: Omit<AppOptions, 'tls'>,
  tokens: Purge & { readonly issuer: TokenIssuer },
  shown: Shown,
) {
  const tls = config.tls && { ...config.tls, ...(await readTlsPair(config.tls)) }
  const operations = (openMetrics: boolean) => (scope: FastifyInstance) => {
    countAnswers(scope, options.answered)
    addOperations(scope, { ...shown, openMetrics })
    addDocs(scope, packageRoot)
  }
  const documents = (scope: FastifyInstance) => {
    countAnswers(scope, options.answered)
    addOAuthMetadata(scope, config.publicUrl)
    addEntraDocument(scope, config)
  }
  const main = [
    // Every way to ask for a token. Another one is a file in http/ and its name here.
    ...[addTokens, addOAuth, addEntraToken, addIdentity].map(
      add => (scope: FastifyInstance) => add(scope, tokens.issuer),
    ),
    (scope: FastifyInstance) => addPurge(scope, tokens),
    documents,
  ]
  const settings = { ...options, tls }
  const { management: own } = config
  const app = buildApp(settings, own ? main : [...main, operations(false)])
  const management = own && buildApp(settings, [operations(true)])
  const unwatch =
    tls &&
    watchTlsPair(
      tls,
      tls,
      pair => renewTls([app, management], pair, options.log),
      err => tlsFailed(options.log, err),
    )
  return {
    app,
    management,
    close: async () => {
      unwatch?.()
      await closeServer(app, config.upstreamTimeoutMs + graceMs)
      if (management) await closeServer(management, graceMs)
    },
  }
}

/** Whatever is answered at all is answered within `giveUpMs`; what is left are clients that never finish their request. */
export async function closeServer(app: FastifyInstance, giveUpMs: number): Promise<void> {
  const giveUp = setTimeout(() => app.server.closeAllConnections(), giveUpMs)
  await app.close()
  clearTimeout(giveUp)
}

function renewTls(
  apps: readonly (FastifyInstance | undefined)[],
  pair: { cert: string; key: string },
  log: AppOptions['log'],
): void {
  for (const app of apps) {
    if (app?.server instanceof TlsServer) app.server.setSecureContext({ ...pair, minVersion: minTlsVersion })
  }
  log.info('the TLS certificate was renewed from its files')
}

function tlsFailed(log: AppOptions['log'], err: unknown): void {
  log.error({ err }, 'the new TLS files cannot be used; the certificate that was loaded before stays')
}
