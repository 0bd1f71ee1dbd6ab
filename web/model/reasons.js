/**
 * Reasons of errors in plain words, for tables. Without the DOM.
 * @import { Reason } from '../../src/errors.ts'
 */

/** @type {Partial<Record<Reason, string>>} */
const words = {
  consent: 'admin consent is missing',
  request: 'Entra refuses the tenant or the resource',
  unknown: 'Entra rejects the request',
  federation: 'federated credential does not match',
  assertion: "Entra rejects the identity's token",
  agent_identity: "Entra does not accept the blueprint's token for it",
  agent_assertion: "Entra rejects the blueprint's token for it",
  client: 'Entra rejects the application',
  cloud: 'tenant of another national cloud',
  network: 'no connection',
  timeout: 'no response in time',
  server_error: 'Entra responds with an error',
  throttled: 'Entra limits requests',
  circuit_open: 'requests are paused',
  keys: 'keys unavailable',
  refused: 'identity endpoint refuses',
  queue: 'too many requests wait',
  no_rule: 'no rule allows it',
  denied: 'a deny entry matches',
  unknown_target: 'not in the policy',
  unknown_client_id: 'unknown client id',
  other_tenant: 'agent identity of another tenant',
}

const byText = new Map(Object.entries(words))

/**
 * A reason in words; the reason itself, without underscores, if there are none.
 * @param {string} reason
 */
export const reasonText = reason => byText.get(reason) ?? reason.replaceAll('_', ' ')
