import { randomUUID } from 'node:crypto'
import { elsewhere, principalId, tokenReply } from './access-token.ts'
import { exchange, subjectOf } from './agent-identities.ts'
import { EntraError } from './errors.ts'
import type { Tampering } from './faults.ts'
import type { Reply } from './http.ts'
import { signJws } from './jws.ts'
import type { World } from './world.ts'

/** The first request of a blueprint. */
export interface BlueprintRequest {
  /** GUIDs. */
  readonly tenant: string
  readonly blueprint: string
  /** `fmi_path`: the agent identity. */
  readonly path: string | null
  readonly tampering: Tampering | undefined
}

/** Entra's response to the first request of a blueprint, for the agent identity that `fmi_path` names. */
export async function grantToBlueprint(request: BlueprintRequest, world: World): Promise<Reply> {
  const { tenant, blueprint, path, tampering } = request
  if (!path) throw new EntraError(82008)
  const { settings, entraUrl, entraKey } = world
  const life = tampering === 'expired' ? 0 : settings.expiresIn
  const seconds = Math.floor(world.now() / 1000)
  const payload = {
    aud: exchange.clientId,
    iss: `${entraUrl}/${tenant}/v2.0`,
    iat: seconds,
    nbf: seconds,
    exp: seconds + life,
    azp: blueprint,
    azpacr: '2',
    idtyp: 'app',
    oid: principalId(tenant, blueprint),
    sub: subjectOf({ tenant, blueprint, agent: path.toLowerCase() }),
    tid: tampering === 'wrong-tenant' ? elsewhere : tenant,
    uti: randomUUID(),
    ver: '2.0',
  }
  const token = await signJws({ alg: 'RS256', kid: entraKey.kid, typ: 'JWT' }, payload, entraKey)
  return tokenReply(token, life, tampering, settings)
}
