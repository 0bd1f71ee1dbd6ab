import { BrokerError } from '../../errors.ts'
import { quoted } from '../lib/text/quoted.ts'
import type { CallerFacts, JwtFacts } from '../policy/caller-facts.ts'
import type { DenialReason } from '../policy/decide.ts'
import type { Permission, TokenRequest } from '../policy/model.ts'

/**
 * The errors of requests that the policy does not permit. They explain themselves with what the caller sent and with who
 * it is, and with nothing of the policy: the words are the same whether or not a tenant, a scope or an application exists.
 */

/** Characters of the longest scope. */
const longestScope = 489
/** Names of a certificate that are repeated. */
const maxNames = 3

/** The error of a token request. */
export function tokenNotPermitted(caller: CallerFacts, request: TokenRequest, reason: DenialReason): BrokerError {
  const { tenant, application } = request.received ?? request
  const [client, name] = request.agent === undefined ? ['application', application] : ['agent identity', request.agent]
  const requested = `tenant ${quoted(tenant)}, scope ${quoted(request.scope, longestScope)}, ${client} ${quoted(name)}`
  const detail = `No rule of the policy grants this caller this tenant, scope and ${client}. The request is for ${requested}.`
  return new BrokerError('not_permitted', `${detail} ${recognised(caller)}`, {
    reason,
    remedy:
      `Check the spelling of tenant, scope and ${client} first: a scope is <resource>/.default, compared byte for byte, ` +
      "or a scope's name in the policy. If they are right, request a rule from the operator of the broker; quote request_id.",
  })
}

/** The error of a request for an operation. */
export function operationNotPermitted(caller: CallerFacts, permission: Permission, reason: DenialReason): BrokerError {
  const detail = `No rule of the policy grants this caller the permission "${permission}".`
  return new BrokerError('not_permitted', `${detail} ${recognised(caller)}`, {
    reason,
    remedy: `Request a rule with "permissions: [${permission}]" from the operator of the broker; quote request_id.`,
  })
}

const recognised = (caller: CallerFacts): string => `The broker recognised the caller as ${describe(caller)}.`

/** A caller in the words in which a rule would list it. */
function describe(caller: CallerFacts): string {
  if (caller.kind === 'apiKey') return `the API key ${quoted(caller.key)}`
  if (caller.kind === 'secret') return "the holder of the agent's local secret"
  if (caller.kind === 'jwt') return describeToken(caller)
  const names = [...caller.uris, ...caller.dnsNames]
  const more = names.length > maxNames ? ` and ${names.length - maxNames} more` : ''
  const shown = names.slice(0, maxNames).map(name => quoted(name))
  return `a client certificate with the SAN ${shown.join(', ')}${more}`
}

function describeToken({ issuer, subject, claims, user }: JwtFacts): string {
  const clientId = claims['azp'] ?? claims['appid']
  const client = typeof clientId === 'string' ? `, client id ${quoted(clientId)}` : ''
  const whose = user ? `the user ${quoted(user.oid)} (oid, by a delegated token), ` : ''
  return `${whose}the subject ${quoted(subject)} of the issuer ${quoted(issuer)}${client}`
}
