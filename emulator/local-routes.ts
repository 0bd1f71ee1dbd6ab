import type { IncomingMessage, ServerResponse } from 'node:http'
import { isControl, routeControl } from './control.ts'
import { redirectBait } from './entra-routes.ts'
import { json, type Listener, send } from './http.ts'
import { answerIdentity, identityError } from './identity.ts'
import { isPage, routePage } from './page.ts'
import { serve, type Visit } from './serve.ts'
import type { World } from './world.ts'

const callerPath = /^(\/callers(?:\/[a-z\d-]+)?)\/(jwks|\.well-known\/openid-configuration)$/

/** Routes the endpoints on plain http: the identity endpoint, the caller issuers, `/control` and the page. */
export async function routeLocal(
  request: IncomingMessage,
  response: ServerResponse,
  listener: Listener,
  world: World,
): Promise<void> {
  const url = new URL(request.url ?? '/', world.localUrl)
  const visit = { request, response, listener, redirectTarget: `http://localhost:${listener.port}/redirect-target` }
  const [, issuer, document] = callerPath.exec(url.pathname) ?? []
  if (url.pathname === '/msi/token') return serve(visitIdentity(visit, url, world), world)
  if (issuer !== undefined) return serve(visitCallers(visit, issuer, document === 'jwks', world), world)
  if (isControl(url)) return routeControl(request, response, url, world)
  if (isPage(url)) return routePage(request, response, url, world)
  const followed = url.pathname === '/redirect-target'
  if (followed) world.traffic.redirected()
  send(response, followed ? redirectBait : json(404, { error: 'not_found' }))
}

type Base = Pick<Visit, 'request' | 'response' | 'listener' | 'redirectTarget'>

function visitIdentity(base: Base, url: URL, world: World): Visit {
  world.traffic.record('identity', base.request, url, new URLSearchParams())
  return {
    ...base,
    point: 'identity',
    answer: tampering => answerIdentity(base.request, url.searchParams, world, tampering),
    fail: ({ status = 400, headers }) => identityError(status, 'A failure was forced.', headers),
  }
}

/** Every `/callers/<name>` is an issuer with its own name and the same keys. */
function visitCallers(base: Base, path: string, keys: boolean, world: World): Visit {
  const issuer = `${world.localUrl}${path}`
  const document = keys ? world.callers.jwks() : { issuer, jwks_uri: `${issuer}/jwks` }
  return {
    ...base,
    point: 'callers',
    answer: async () => ({ reply: json(200, document), outcome: 'served' }),
    fail: ({ status = 400, headers }) => json(status, { error: 'forced' }, headers),
  }
}
