import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type { Tampering } from './faults.ts'
import { type Reply, json } from './http.ts'
import { type Json, signJws } from './jws.ts'
import type { ResourceOptions, Settings } from './options.ts'
import type { World } from './world.ts'

/** The request for which a token is issued. */
export interface Issue {
  /** GUIDs. */
  readonly tenant: string
  readonly clientId: string
  /** Of an agent identity: the client id of its blueprint. */
  readonly blueprint?: string | undefined
  /** The resource exactly as the scope spelled it, without `/.default`. */
  readonly requested: string
  readonly resource: ResourceOptions
  readonly tampering?: Tampering | undefined
}

/** The tenant and the application of tokens with a fault. */
export const elsewhere = '00000000-0000-4000-8000-00000000dead'

/** Entra's response to a request that it grants. */
export async function grant(issue: Issue, world: World): Promise<Reply> {
  const { settings } = world
  const life = issue.tampering === 'expired' ? 0 : settings.expiresIn
  const token = settings.opaqueTokens ? randomBytes(96).toString('base64url') : await sign(issue, life, world)
  return tokenReply(token, life, issue.tampering, settings)
}

/** A token response, with what a fault does to it. @param life seconds */
export function tokenReply(token: string, life: number, tampering: Tampering | undefined, settings: Settings): Reply {
  const body = {
    token_type: tampering === 'wrong-type' ? 'MAC' : 'Bearer',
    ...(tampering === 'no-expiry' ? {} : { expires_in: life, ext_expires_in: life }),
    ...(settings.refreshIn === null ? {} : { refresh_in: settings.refreshIn }),
    access_token: spoiled(token, tampering),
    ...(tampering === 'endless' && { expires_in: 1e300 }),
  }
  return json(200, body, { 'x-ms-request-id': randomUUID(), pragma: 'no-cache' })
}

/** The field `access_token`, with what a fault does to it. */
export function spoiled(token: string, tampering: Tampering | undefined): string | number {
  if (tampering === 'no-text') return 12345
  return tampering === 'line-break' ? `${token}\r\nx-evil: 1` : token
}

function sign(issue: Issue, life: number, world: World): Promise<string> {
  const seconds = Math.floor(world.now() / 1000)
  const tid = issue.tampering === 'wrong-tenant' ? elsewhere : issue.tenant
  const client = issue.tampering === 'wrong-application' ? elsewhere : issue.clientId
  const oid = issue.blueprint === undefined ? principalId(issue.tenant, issue.clientId) : issue.clientId
  const payload = {
    ...shapeOf(issue, tid, client, world),
    iat: seconds,
    nbf: seconds,
    exp: seconds + life,
    ...(issue.tampering === 'delegated' ? { scp: 'User.Read' } : { idtyp: 'app' }),
    oid,
    ...(issue.tampering !== 'delegated' && issue.resource.roles && { roles: issue.resource.roles }),
    sub: oid,
    tid,
    uti: randomBytes(16).toString('base64url'),
    ...(issue.blueprint !== undefined && claimsOfAgent(issue.blueprint, issue.tampering)),
  }
  return signJws({ alg: 'RS256', kid: world.entraKey.kid, typ: 'JWT' }, payload, world.entraKey)
}

/**
 * The claims that only tokens of agent identities have (https://learn.microsoft.com/entra/agent-id/agent-token-claims). `scp`
 * is empty or a slash in a token that acts for no user.
 */
const claimsOfAgent = (blueprint: string, tampering: Tampering | undefined): Json => ({
  ...(tampering !== 'delegated' && { scp: '/' }),
  xms_act_fct: '3 9 11',
  xms_sub_fct: '9 3 11',
  xms_par_app_azp: tampering === 'wrong-application' ? elsewhere : blueprint,
})

/** The claims in which v1.0 and v2.0 tokens differ. */
function shapeOf(issue: Issue, tid: string, client: string, world: World): Json {
  const wrong = issue.tampering === 'wrong-audience' ? 'https://wrong-audience.example' : undefined
  const version = world.settings.tokenVersion ?? issue.resource.tokenVersion
  return version === 1
    ? {
        ver: '1.0',
        iss: `https://sts.windows.net/${tid}/`,
        aud: wrong ?? issue.requested,
        appid: client,
        appidacr: '2',
      }
    : {
        ver: '2.0',
        iss: `${world.entraUrl}/${tid}/v2.0`,
        aud: wrong ?? issue.resource.appId,
        azp: client,
        azpacr: '2',
      }
}

/** The object id of an application's service principal. Like in a directory, it is stable for each tenant. */
export function principalId(tenant: string, clientId: string): string {
  const hex = createHash('sha256').update(`${tenant} ${clientId}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
