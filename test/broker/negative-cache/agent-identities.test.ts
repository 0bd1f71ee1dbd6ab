import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { forOthers } from '../../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import { cacheKeys, matches } from '../../../src/broker/tokens/negative-cache/records.ts'

const [clientId, agentId, other, tenant, scope] = ['blueprint', 'agent', 'other', 'tenant', 'scope']
const application = { clientId, tenant, scope, key: `${clientId} ${tenant} ${scope}` }
const agent = { ...application, agentId, key: `${clientId} ${agentId} ${tenant} ${scope}` }

describe('failures of agent identities', () => {
  test('those of the blueprint concern all, those in a tenant the agent identity alone', () => {
    assert.equal(cacheKeys.application(agent), cacheKeys.application(application))
    assert.notEqual(cacheKeys.tenant(agent), cacheKeys.tenant(application))
    assert.notEqual(cacheKeys.tenant(agent), cacheKeys.tenant({ ...agent, agentId: other }))
    assert.notEqual(cacheKeys.key(agent), cacheKeys.key(application))
  })

  test('a remedy that names the agent identity is not shown for others of the blueprint', () => {
    const error = new BrokerError('federation_misconfigured', 'x', {
      reason: 'federation',
      remedy: `Correct ${agentId}.`,
    })
    assert.equal(forOthers(error, 'application', agent).parts.remedy, undefined)
    assert.equal(forOthers(error, 'tenant', agent).parts.remedy, `Correct ${agentId}.`)
  })
})

describe('what a filter selects', () => {
  const table: readonly (readonly [candidate: object, filter: object, expected: boolean, why: string])[] = [
    [agent, { agentId }, true, 'the agent identity'],
    [agent, { agentId: other }, false, 'another one'],
    [application, { agentId }, false, 'a token of the application itself has no agent identity'],
    [agent, { clientId }, true, "the blueprint's tokens include those of its agent identities"],
    [agent, { clientId, agentId: other }, false, 'every part must match'],
    [agent, { tenant }, true, 'an absent part selects all'],
    [agent, {}, true, 'an empty filter selects everything'],
    [{ clientId }, { agentId }, true, 'a failure of the whole application is one of its agent identities'],
    [{ clientId, tenant }, { agentId }, false, 'a failure of the application in a tenant is not'],
  ]
  for (const [candidate, filter, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(matches(candidate, filter), expected))
})
