import { createHash } from 'node:crypto'
import type { CallerTest } from '../broker/caller-test.ts'
import { indexPolicy } from '../broker/policy-index.ts'
import { authorize, type Ask, type Authorize, type Policy } from '../broker/policy.ts'
import { BrokerError } from '../errors.ts'

const holder: CallerTest = {
  matches: ({ kind }) => kind === 'secret',
  mismatch: ({ kind }) => (kind === 'secret' ? undefined : 'the caller does not hold the local secret'),
  key: { by: 'secret' },
}

/**
 * The policy of an agent: its one caller, who holds the local secret, may ask for whatever the central broker grants the
 * workload in one tenant, and may look at the agent.
 *
 * @param ask what is asked for; what a rule speaks of must be listed, and here that is not known before
 */
export function policyOfFlags(tenant: string, ask?: Ask): Policy {
  const application = ask?.application ?? 'default'
  const rules = [
    {
      name: `--tenant ${tenant}`,
      order: 0,
      callers: [holder],
      tenants: new Set([tenant]),
      scopes: new Set(ask === undefined ? [] : [ask.scope]),
      applications: new Set([application]),
      permissions: new Set(['observe'] as const),
    },
  ]
  return {
    version: createHash('sha256').update(`agent ${tenant}`).digest('hex'),
    // The agent knows applications and its tenant by the names they are asked for: what they stand for, the broker knows.
    applications: new Map([[application, application]]),
    tenants: new Map([[tenant, tenant]]),
    issuers: [],
    apiKeys: [],
    denials: [],
    rules,
    index: indexPolicy(rules, []),
    warnings: [],
  }
}

/** Grants what {@link policyOfFlags} says. Throws `not_permitted` for another tenant. */
export const authorizeByFlags =
  (tenant: string): Authorize =>
  (caller, ask) => {
    if (ask.tenant === tenant) return authorize(policyOfFlags(tenant, ask), caller, ask, undefined)
    throw new BrokerError('not_permitted', `This agent hands out tokens of one tenant only: ${tenant}.`, {
      reason: 'unknown_target',
      remedy: 'For another tenant, start another agent with its --tenant.',
    })
  }
