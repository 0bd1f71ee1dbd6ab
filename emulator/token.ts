import type { IncomingMessage } from 'node:http'
import { randomUUID } from 'node:crypto'
import { grant } from './access-token.ts'
import { isTokenExchange } from './agent-identities.ts'
import { checkAssertion } from './assertion.ts'
import { grantToBlueprint } from './blueprint-token.ts'
import { findResource, isGuid, type Tenant } from './directory.ts'
import { EntraError, refuse } from './errors.ts'
import type { Tampering } from './faults.ts'
import type { Reply } from './http.ts'
import type { Outcome } from './serve.ts'
import type { World } from './world.ts'

const bearerAssertion = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** Parses the form of a token request. Like in Entra, it is empty if the body is not form-encoded. */
export function parseForm(request: IncomingMessage, body: string): URLSearchParams {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  return new URLSearchParams(type === 'application/x-www-form-urlencoded' ? body : '')
}

/** Handles `POST /{tenant}/oauth2/v2.0/token`. Supports only client credentials with a client assertion. */
export async function answerToken(
  method: string,
  tenant: string,
  form: URLSearchParams,
  world: World,
  correlationId: string,
  tampering?: Tampering,
): Promise<Outcome> {
  return orRefusal(correlationId, world, async () => {
    if (method !== 'POST') throw new EntraError(900561, { method })
    const known = world.directory.tenant(tenant)
    checkForm(form, world)
    return exchange(known, form, world, tampering)
  })
}

/** Runs a request. Turns an EntraError into an error response. */
export async function orRefusal(id: string, world: World, run: () => Promise<Reply>): Promise<Outcome> {
  try {
    return { reply: await run(), outcome: 'issued' }
  } catch (error) {
    if (!(error instanceof EntraError)) throw error
    const context = { correlationId: id, now: world.now(), values: error.values }
    return { reply: refuse(error.code, context), outcome: error.message }
  }
}

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

function checkForm(form: URLSearchParams, { directory }: World): void {
  const twice = [...form.keys()].find(name => form.getAll(name).length > 1)
  if (twice !== undefined) throw new EntraError(9000411, { parameter: twice })
  const grantType = required(form, 'grant_type')
  const client = form.get('client_id') ?? ''
  if (grantType === tokenExchange && directory.isAgentic(client)) throw new EntraError(82001, { client })
  if (grantType !== 'client_credentials') throw new EntraError(70003, { grant: grantType })
  required(form, 'client_id')
  checkScope(required(form, 'scope'))
  if (!form.get('client_assertion')) throw new EntraError(7000218)
  if (required(form, 'client_assertion_type') !== bearerAssertion) throw new EntraError(70002)
}

function required(form: URLSearchParams, parameter: string): string {
  const value = form.get(parameter)
  if (!value) throw new EntraError(900144, { parameter })
  return value
}

function checkScope(scope: string): void {
  if (!/^[\x21-\x7e]+$/.test(scope) || scope === '/.default') throw new EntraError(70011, { scope })
  if (!scope.endsWith('/.default')) throw new EntraError(1002012, { scope })
}

async function exchange(tenant: Tenant, form: URLSearchParams, world: World, tampering?: Tampering): Promise<Reply> {
  if (tenant.cloud !== undefined) throw new EntraError(90038, { tenant: tenant.id })
  const clientId = required(form, 'client_id')
  const application = world.directory.servicePrincipal(clientId, tenant)
  checkAssertion(required(form, 'client_assertion'), application, world.directory, world.now())
  const requested = required(form, 'scope').slice(0, -'/.default'.length)
  const { clientId: client, isBlueprint, blueprint } = application
  if (isBlueprint) {
    if (!isTokenExchange(requested)) throw new EntraError(82001, { client })
    return grantToBlueprint({ tenant: tenant.id, blueprint: client, path: form.get('fmi_path'), tampering }, world)
  }
  const resource = findResource(tenant, requested)
  if (!resource) throw new EntraError(500011, { resource: requested, tenant: tenant.id })
  if (tenant.unassigned.includes(client)) throw new EntraError(501051, { client: clientId, resource: requested })
  return grant({ tenant: tenant.id, clientId: client, blueprint, requested, resource, tampering }, world)
}

/** Returns the client's `client-request-id` if it is a GUID, with `sent` set. Otherwise returns a new id. */
export function correlation(request: IncomingMessage, url: URL, form: URLSearchParams): { id: string; sent: boolean } {
  const header = request.headers['client-request-id']
  const candidates = [header, url.searchParams.get('client-request-id'), form.get('client-request-id')]
  const id = candidates.find(candidate => typeof candidate === 'string' && isGuid(candidate))
  return typeof id === 'string' ? { id, sent: true } : { id: randomUUID(), sent: false }
}
