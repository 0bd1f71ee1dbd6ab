import type { IncomingMessage, ServerResponse } from 'node:http'
import { refuse } from './errors.ts'
import { type Reply, json, type Listener, readBody, send } from './http.ts'
import { type Failure, serve, type Visit } from './serve.ts'
import { answerToken, correlation, orRefusal, parseForm } from './token.ts'
import type { World } from './world.ts'

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly listener: Listener
  readonly url: URL
  readonly tenant: string
  readonly world: World
}

/** Routes Entra's endpoints: the token endpoint, the discovery document and the keys. */
export async function routeEntra(
  request: IncomingMessage,
  response: ServerResponse,
  listener: Listener,
  world: World,
): Promise<void> {
  const url = new URL(request.url ?? '/', world.entraUrl)
  const [, tenant = '', endpoint = ''] = /^\/([^/]+)\/(.+)$/.exec(url.pathname) ?? []
  const call = { request, response, listener, url, tenant, world }
  switch (endpoint) {
    case 'oauth2/v2.0/token':
      return takeToken(call)
    case 'v2.0/.well-known/openid-configuration':
      return discover(call, async () => {
        const { id, cloud = world.entraUrl } = world.directory.tenant(tenant)
        return json(200, metadata(cloud, id))
      })
    case 'discovery/v2.0/keys':
      return discover(call, async () => {
        world.directory.tenant(tenant)
        return json(200, { keys: [world.entraKey.jwk] })
      })
    default:
      return miss(call)
  }
}

function miss(call: Call): void {
  const followed = call.url.pathname === '/redirect-target'
  if (followed) call.world.traffic.redirected()
  send(call.response, followed ? redirectBait : json(404, { error: 'not_found' }))
}

/** The response for a client that follows a redirect, which it must not. */
export const redirectBait: Reply = json(200, {
  token_type: 'Bearer',
  expires_in: 3599,
  access_token: 'token-from-the-redirect-target',
})

async function takeToken(call: Call): Promise<void> {
  const { request, response, url, world } = call
  world.traffic.opened()
  response.once('close', () => world.traffic.closed())
  const body = await readBody(request)
  if (body === undefined) return send(response, json(413, { error: 'too_large' }))
  const form = parseForm(request, body)
  world.traffic.record('token', request, url, form)
  const { id } = correlation(request, url, form)
  const answer: Visit['answer'] = tampering =>
    answerToken(request.method ?? '', call.tenant, form, world, id, tampering)
  return visit(call, 'token', form, answer)
}

async function discover(call: Call, run: () => Promise<Reply>): Promise<void> {
  const form = new URLSearchParams()
  const { id } = correlation(call.request, call.url, form)
  return visit(call, 'discovery', form, async () => {
    const { reply, outcome } = await orRefusal(id, call.world, run)
    return { reply, outcome: outcome === 'issued' ? 'served' : outcome }
  })
}

function visit(
  call: Call,
  point: 'token' | 'discovery',
  form: URLSearchParams,
  answer: Visit['answer'],
): Promise<void> {
  const { request, response, listener, world } = call
  const { id, sent } = correlation(request, call.url, form)
  if (sent) response.setHeader('client-request-id', id)
  response.setHeader('date', new Date(world.now()).toUTCString())
  const fail = (failure: Failure): Reply => refuse(failure.code, { ...failure, correlationId: id, now: world.now() })
  const redirectTarget = `https://127.0.0.1:${listener.port}/redirect-target`
  const tenant = call.tenant.toLowerCase()
  return serve({ point, tenant, request, response, listener, answer, fail, redirectTarget }, world)
}

/** The fields of Entra's OpenID metadata that clients read. */
function metadata(entraUrl: string, tenant: string): object {
  const base = `${entraUrl}/${tenant}`
  return {
    issuer: `${base}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/oauth2/v2.0/token`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
  }
}
