import { isGuid } from '../../broker/lib/identifiers.ts'
import type { Policy } from '../../broker/policy/model.ts'

/** The names that a policy gives to ids. */
export interface PolicyNames {
  /** The name of a client id in lower case; `null` if the policy does not define it. Of several, the first in the file. */
  readonly application: (clientId: string) => string | null
  /** The name of an agent identity's client id in lower case; `null` if the policy does not define it, or there is none. */
  readonly agent: (id: string | undefined) => string | null
  /** The name of a tenant id in lower case; `null` if the policy has none. Of several, the first in the file. */
  readonly tenant: (id: string) => string | null
}

const known = new WeakMap<Policy, PolicyNames>()

/** Returns the names of a policy. They are inverted once for each policy. */
export function namesOf(policy: Policy): PolicyNames {
  const cached = known.get(policy)
  if (cached) return cached
  const applications = inverted(policy.applications)
  const tenants = inverted(policy.tenants)
  const names: PolicyNames = {
    application: clientId => applications.get(clientId) ?? null,
    agent: id => (id === undefined ? null : (policy.index.agent(id) ?? null)),
    tenant: id => tenants.get(id) ?? null,
  }
  known.set(policy, names)
  return names
}

const inverted = (ids: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
  new Map([...ids].map(([name, id]): [string, string] => [id, name]).toReversed())

/**
 * The id, in lower case, of a tenant that a query names. A name that the policy does not define is returned as it is: it is
 * the id of no tenant.
 */
export const tenantIdOf = (tenant: string, policy: Policy): string =>
  isGuid(tenant) ? tenant.toLowerCase() : (policy.tenants.get(tenant) ?? tenant)

/**
 * The client id of an agent identity that a query names. A name that the policy does not define is returned as it is: it is
 * the id of no agent identity.
 */
export const agentIdOf = (agent: string, policy: Policy): string => policy.agents.get(agent)?.id ?? agent
