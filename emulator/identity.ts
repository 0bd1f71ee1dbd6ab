import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { spoiled } from './access-token.ts'
import type { Tampering } from './faults.ts'
import { type Reply, json } from './http.ts'
import type { IdentityToken } from './identity-tokens.ts'
import type { Json } from './jws.ts'
import type { Outcome } from './serve.ts'
import type { World } from './world.ts'

const elsewhere = '00000000-0000-4000-8000-00000000dead'

/** An error in the format of the identity endpoint of App Service and Container Apps. */
export function identityError(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Reply {
  return json(status, { statusCode: status, message, correlationId: randomUUID() }, headers)
}

/** Handles `GET /msi/token`, API version 2019-08-01. */
export async function answerIdentity(
  request: IncomingMessage,
  query: URLSearchParams,
  world: World,
  tampering?: Tampering,
): Promise<Outcome> {
  const problem = findProblem(request, query, world)
  if (problem) return { reply: problem, outcome: `status-${problem.status}` }
  const resource = query.get('resource') ?? ''
  const { token, expiresOn } = await tokenFor(resource, world, tampering)
  const reply = json(200, {
    access_token: spoiled(token, tampering),
    ...(tampering === 'no-expiry' ? {} : { expires_on: tampering === 'endless' ? 1e300 : String(expiresOn) }),
    resource,
    token_type: 'Bearer',
    client_id: tampering === 'wrong-application' ? elsewhere : world.directory.identity.clientId,
  })
  return { reply, outcome: 'issued' }
}

function findProblem(request: IncomingMessage, query: URLSearchParams, world: World): Reply | undefined {
  if (request.method !== 'GET') return identityError(405, 'Only GET is supported.')
  if (request.headers['x-identity-header'] !== world.identityHeader)
    return identityError(401, 'The X-IDENTITY-HEADER is missing or wrong.')
  if (query.get('api-version') !== '2019-08-01')
    return identityError(400, "The 'api-version' is missing or not supported.")
  if (!query.get('resource')) return identityError(400, "The 'resource' is missing.")
  if (namesIdentity(query, world)) return undefined
  return identityError(
    400,
    'No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.',
  )
}

/** There is no system-assigned identity, so a request must name an identity. */
function namesIdentity(query: URLSearchParams, world: World): boolean {
  const { clientId, objectId } = world.directory.identity
  const principal = query.get('object_id') ?? query.get('principal_id')
  const named = query.get('client_id')
  return named === null ? principal === objectId : named.toLowerCase() === clientId.toLowerCase()
}

function tokenFor(resource: string, world: World, tampering?: Tampering): Promise<IdentityToken> {
  const { identityTokens, settings } = world
  const life = settings.identityTokenLife
  if (tampering === 'expired') return identityTokens.mint({ aud: resource }, -60)
  const wrong = tampering ? wrongClaims(world)[tampering] : undefined
  if (wrong || !settings.repeatIdentityToken) return identityTokens.mint({ aud: resource, ...wrong }, life)
  return identityTokens.repeat(resource, life)
}

function wrongClaims(world: World): Partial<Record<Tampering, Json>> {
  return {
    'wrong-tenant': { tid: elsewhere, iss: `${world.entraUrl}/${elsewhere}/v2.0` },
    'wrong-application': { azp: elsewhere, oid: elsewhere, sub: elsewhere },
    'wrong-audience': { aud: 'api://wrong-audience' },
    'version-1': {
      ver: '1.0',
      iss: `https://sts.windows.net/${world.directory.homeTenant}/`,
      azp: undefined,
      azpacr: undefined,
      appid: world.directory.identity.clientId,
    },
  }
}
