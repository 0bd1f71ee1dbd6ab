import { createHash } from 'node:crypto'
import type { CallerMatcher } from '../broker/policy/caller-matcher.ts'
import { indexPolicy } from '../broker/policy/compile.ts'
import { authorize, createAuthorize, type Authorize } from '../broker/authorization/authorize.ts'
import type { TokenRequest, Policy } from '../broker/policy/model.ts'
import { BrokerError } from '../errors.ts'

const secretHolder: CallerMatcher = {
  kind: 'secret',
  matches: ({ kind }) => kind === 'secret',
  mismatch: ({ kind }) => (kind === 'secret' ? undefined : 'the caller does not hold the local secret'),
}

/**
 * The policy of an agent: its one caller, who holds the local secret, may look at the agent. What else that caller may
 * have, the central broker decides; see {@link authorizeByFlags}.
 */
export function policyOfFlags(tenant: string): Policy {
  const rules = [
    {
      name: `--tenant ${tenant}`,
      order: 0,
      callers: [secretHolder],
      tenants: new Set([tenant]),
      scopes: new Set<string>(),
      applications: new Set<string>(),
      permissions: new Set(['observe'] as const),
    },
  ]
  return {
    version: createHash('sha256').update(`agent ${tenant}`).digest('hex'),
    applications: new Map(),
    tenants: new Map([[tenant, tenant]]),
    issuers: [],
    apiKeys: [],
    denials: [],
    rules,
    index: indexPolicy(rules, []),
    warnings: [],
  }
}

/**
 * The policy with the scope and the application of an ask in its rule: what a rule grants must be listed, and an agent
 * does not know it before it is asked for. Nor does it know what names stand for: an application is its own client id.
 */
function grantAlso(policy: Policy, { scope, application }: TokenRequest): Policy {
  const rules = policy.rules.map(rule => ({
    ...rule,
    scopes: new Set([scope]),
    applications: new Set([application]),
  }))
  return { ...policy, applications: new Map([[application, application]]), rules, index: indexPolicy(rules, []) }
}

/**
 * Grants the holder of the secret whatever is asked for in one tenant. Grants are remembered as a broker's are: what is
 * asked for again is a look-up. Throws `not_permitted` for another tenant.
 */
export const authorizeByFlags = (tenant: string): Authorize =>
  createAuthorize(
    () => undefined,
    (policy, caller, ask, homeTenant) => {
      if (ask.tenant === tenant) return authorize(grantAlso(policy, ask), caller, ask, homeTenant)
      throw new BrokerError('not_permitted', `This agent issues tokens of one tenant only: ${tenant}.`, {
        reason: 'unknown_target',
        remedy: 'For another tenant, start another agent with its --tenant.',
      })
    },
  )
