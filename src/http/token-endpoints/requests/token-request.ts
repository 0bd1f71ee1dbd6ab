import { Compile } from 'typebox/compile'
import { isGuid, isScopeName, scopeOrNamePattern, tenantPattern } from '../../../broker/lib/identifiers.ts'
import { repeatedName } from '../../../broker/lib/text/repeated-name.ts'
import type { TokenRequest } from '../../../broker/policy/model.ts'
import { BrokerError } from '../../../errors.ts'
import { tokenRequest, type TokenRequestBody } from '../../schemas/requests.ts'
import { RecentBodies } from './recent-bodies.ts'
import { fieldError, shapeError, type FieldErrors } from './shape-error.ts'

const shape = Compile(tokenRequest)
const tenantShape = new RegExp(`^${tenantPattern}$`)
const scopeShape = new RegExp(`^${scopeOrNamePattern}$`)

/**
 * Creates a reader for bodies of `POST /tokens`. Callers send the same body again and again, so it keeps what it has read: a
 * hot request is neither parsed nor checked again.
 *
 * @returns the reader; it throws BrokerError `invalid_request`, `invalid_tenant`, `invalid_scope`
 */
export function createTokenRequestReader(): (bytes: Buffer) => TokenRequest {
  const recent = new RecentBodies<TokenRequest>()
  return bytes => {
    const known = recent.find(bytes)
    if (known) return known
    const request = readText(bytes.toString())
    recent.add(bytes, request)
    return request
  }
}

function readText(text: string): TokenRequest {
  if (text === '') throw new BrokerError('invalid_request', 'The body is empty; it must be a JSON object.')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new BrokerError('invalid_request', 'The body is not valid JSON.')
  }
  const repeated = repeatedName(text)
  if (repeated !== undefined) {
    throw new BrokerError('invalid_request', `The field ${JSON.stringify(repeated.slice(0, 64))} appears twice.`)
  }
  return checked(body, 'field', 'The body must be a JSON object.')
}

/**
 * Checks the parameters of a form, a query or a path; one that is `undefined` is absent. Throws the same errors as the
 * reader of bodies.
 *
 * @param received the application as the caller wrote it
 */
export function checkRequest(
  {
    tenant,
    scope,
    application,
    agent,
  }: Readonly<Record<'tenant' | 'scope' | 'application', unknown>> & { readonly agent?: unknown },
  received?: string,
): TokenRequest {
  const given = {
    ...(tenant !== undefined && { tenant }),
    ...(scope !== undefined && { scope }),
    ...(application !== undefined && { application }),
    ...(agent !== undefined && { agent }),
  }
  return checked(given, 'parameter', 'The parameters are malformed.', received)
}

/** Returns a well-formed tenant unchanged; throws `invalid_tenant` for any other value. */
export function checkTenant(tenant: unknown): string {
  if (typeof tenant === 'string' && tenantShape.test(tenant)) return tenant
  throw fieldError(fieldErrors.tenant, tenant)
}

function checked(given: unknown, noun: string, otherwise: string, received?: string): TokenRequest {
  if (!shape.Check(given)) throw shapeError(shape.Errors(given), given, fieldErrors, noun, otherwise)
  if (given.agent !== undefined && given.application !== undefined) throw clientTwice()
  return tokenRequestOf(given, received)
}

/** The error of a request that names an agent identity and an application. */
const clientTwice = () =>
  new BrokerError(
    'invalid_request',
    'Send either application or agent, not both: the application of an agent identity is its blueprint.',
  )

function tokenRequestOf(
  { tenant: written, scope, application = 'default', agent, min_expires_in: minExpiresIn = 0 }: TokenRequestBody,
  received = application,
): TokenRequest {
  const tenant = isGuid(written) ? written.toLowerCase() : written
  const request: TokenRequest = { tenant, scope, application, minExpiresIn, ...(agent !== undefined && { agent }) }
  const isSame = tenant === written && application === received
  return Object.freeze(isSame ? request : { ...request, received: { tenant: written, application: received } })
}

const aName = 'at most 63 lower-case letters, digits, dots and hyphens'

/** What is wrong with a tenant. */
const ofTenant = (text: string): string | undefined =>
  tenantShape.test(text.toLowerCase()) ? 'is not in lower case' : undefined

/** What is wrong with a scope. */
function ofScope(text: string): string | undefined {
  if (text.includes(' ')) return 'is more than one'
  const ending = 'does not end with /.default'
  if (isScopeName(text) && scopeShape.test(text.toLowerCase())) return `${ending}, and is not in lower case`
  return text.endsWith('/.default') ? undefined : ending
}

/** The errors of the fields of a request for a token. */
export const fieldErrors = {
  tenant: [
    'invalid_tenant',
    `tenant must be one tenant: its id (a GUID) or its name in the policy (${aName}), not common, organizations or consumers.`,
    ofTenant,
  ],
  scope: [
    'invalid_scope',
    `scope must be one resource's <resource>/.default, in printable ASCII, or a scope's name in the policy (${aName}).`,
    ofScope,
  ],
  application: [
    'invalid_request',
    `application must be the name of an application in the policy (${aName}), or its client id in lower case.`,
  ],
  agent: [
    'invalid_request',
    `agent must be the name of an agent identity in the policy (${aName}), or its client id in lower case.`,
  ],
  min_expires_in: ['invalid_request', 'min_expires_in must be a whole number of seconds from 0 to 1800.'],
} satisfies FieldErrors
