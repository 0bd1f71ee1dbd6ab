import { LRUCache } from 'lru-cache'
import { Compile } from 'typebox/compile'
import { isGuid } from '../broker/names.ts'
import type { Ask } from '../broker/policy.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { tokenRequest, type TokenRequest } from './schemas.ts'

const shape = Compile(tokenRequest)
const rememberedTexts = 16_384
const longestRememberedText = 1024

/**
 * Reads bodies of `POST /tokens`. Callers repeat themselves, so the asks of texts that were read before are remembered:
 * a hot request is neither parsed nor checked again.
 *
 * The reader throws BrokerError `invalid_request`, `invalid_tenant`, `invalid_scope`.
 */
export function createTokenRequestReader(): (text: string) => Ask {
  const remembered = new LRUCache<string, Ask>({ max: rememberedTexts })
  return text => {
    const known = remembered.get(text)
    if (known) return known
    const ask = readAsk(text)
    if (text.length <= longestRememberedText) remembered.set(text, ask)
    return ask
  }
}

function readAsk(text: string): Ask {
  if (text === '') throw new BrokerError('invalid_request', 'The body is empty; it must be a JSON object.')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new BrokerError('invalid_request', 'The body is not valid JSON.')
  }
  if (!shape.Check(body)) throw shapeError(body)
  return askOf(body)
}

function askOf({ tenant, scope, application = 'default', min_expires_in: minExpiresIn = 0 }: TokenRequest): Ask {
  return Object.freeze({ tenant: isGuid(tenant) ? tenant.toLowerCase() : tenant, scope, application, minExpiresIn })
}

/** What each member must be, and the code that says so. */
const members: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  tenant: [
    'invalid_tenant',
    'tenant must be one tenant: its id (a GUID) or its name in the policy; common, organizations and consumers are none.',
  ],
  scope: ['invalid_scope', "scope must be one resource's <resource>/.default, in printable ASCII."],
  application: ['invalid_request', 'application must be the name of an application in the policy.'],
  min_expires_in: ['invalid_request', 'min_expires_in must be a whole number of seconds from 0 to 1800.'],
}

/** The first thing that is wrong, unknown members before anything else: they may be misspelt known ones. */
function shapeError(body: unknown): BrokerError {
  const errors = shape.Errors(body)
  for (const { keyword, params } of errors) {
    if (keyword !== 'additionalProperties') continue
    const name = JSON.stringify(String(params.additionalProperties[0]).slice(0, 64))
    return new BrokerError('invalid_request', `Unknown member ${name}; there are ${Object.keys(members).join(', ')}.`)
  }
  for (const { keyword, params, instancePath } of errors) {
    if (keyword === 'required') {
      return new BrokerError('invalid_request', `The member ${params.requiredProperties[0]} is missing.`)
    }
    const known = members[instancePath.slice(1)]
    if (known) return new BrokerError(...known)
  }
  return new BrokerError('invalid_request', 'The body must be a JSON object.')
}
