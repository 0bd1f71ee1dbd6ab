import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../../src/errors.ts'
import { authorize, createAuthorize } from '../../../src/broker/authorization/authorize.ts'
import { decide } from '../../../src/broker/policy/decide.ts'
import { explain } from '../../../src/broker/policy/explain.ts'
import type { TokenRequest } from '../../../src/broker/policy/model.ts'
import { callerWith, cast, graph, ids, type Json, policyOf, tokenRequest } from '../../support/callers.ts'
import { refuses, rule } from './invalid-world.ts'

const helperId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1aa1'
const secondId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1aa2'
const blueprint = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1aa0'
const applications = { ...cast.applications, assistants: blueprint.toUpperCase() }
const agents = {
  helper: { application: 'assistants', id: helperId.toUpperCase() },
  second: { application: 'assistants', id: secondId },
}
const caller = await callerWith()
const callers = [{ issuer: 'onprem', subject: caller.subject }]
const base: Json = { name: 'rule', callers, tenants: ['contoso'], scopes: [graph] }

const policyWith = (changes: Json, deny?: readonly Json[]) =>
  policyOf({ ...cast, applications, agents, rules: [{ ...base, ...changes }], ...(deny && { deny }) })

type Client = Partial<Pick<TokenRequest, 'application' | 'agent'>>
const helper: Client = { agent: 'helper' }
const requestOf = (client: Client): TokenRequest => ({ ...tokenRequest({ scope: graph }), ...client })

function verdict(policy: ReturnType<typeof policyWith>, client: Client): string {
  const decision = decide(policy, caller, requestOf(client), ids.home)
  return decision.verdict === 'denied' ? decision.reason : decision.verdict
}

describe('what a rule grants', () => {
  const table: readonly (readonly [grants: Json, client: Client, expected: string, why: string])[] = [
    [{ agents: ['helper'] }, helper, 'granted', 'the agent identity that it names'],
    [{ agents: ['helper'] }, { agent: helperId }, 'granted', 'by its client id'],
    [
      { agents: ['helper'] },
      { application: helperId },
      'granted',
      'by its client id, where an application is expected',
    ],
    [{ agents: ['helper'] }, { agent: 'second' }, 'no_rule', 'no other agent identity of the blueprint'],
    [{ agents: ['helper'] }, { application: 'assistants' }, 'no_rule', 'not its blueprint'],
    [{ agents: ['helper'] }, { application: blueprint }, 'no_rule', 'not its blueprint by the client id either'],
    [{ agents: ['helper'] }, { application: 'default' }, 'no_rule', 'not the default application'],
    [{ applications: ['assistants'] }, helper, 'no_rule', 'a blueprint is no grant of its agent identities'],
    [{ applications: ['assistants'] }, { application: 'assistants' }, 'granted', 'the blueprint itself'],
    [{}, helper, 'no_rule', 'a rule without both is for the default application'],
    [
      { applications: ['default'], agents: ['helper'] },
      { application: 'default' },
      'granted',
      'both, if it names both',
    ],
    [{ applications: ['default'], agents: ['helper'] }, helper, 'granted', 'both, if it names both'],
    [{ agents: ['helper'] }, { agent: 'assistants' }, 'unknown_target', "an application's name is no agent identity"],
    [{ agents: ['helper'] }, { application: 'helper' }, 'unknown_target', 'and the other way round'],
    [{ agents: ['helper'] }, { agent: blueprint }, 'unknown_client_id', "a blueprint's client id is no agent identity"],
    [{ agents: ['helper'] }, { agent: 'unknown' }, 'unknown_target', 'a name that the policy does not have'],
    [{ agents: ['helper'] }, { agent: ids.home }, 'unknown_client_id', 'an id that the policy does not have'],
  ]
  for (const [grants, client, expected, why] of table)
    test(`${JSON.stringify(grants)}, ${JSON.stringify(client)}: ${expected}, ${why}`, () => {
      assert.equal(verdict(policyWith(grants), client), expected)
    })
})

describe('what a denial denies', () => {
  const all = { applications: ['default', 'assistants'], agents: ['helper', 'second'] }
  const table: readonly (readonly [denial: Json, client: Client, denied: boolean, why: string])[] = [
    [{ agents: ['helper'] }, helper, true, 'the agent identity'],
    [{ agents: ['helper'] }, { application: helperId }, true, 'by its client id too'],
    [{ agents: ['helper'] }, { agent: 'second' }, false, 'no other one'],
    [{ agents: ['helper'] }, { application: 'assistants' }, false, 'not its blueprint'],
    [{ applications: ['assistants'] }, helper, true, 'a blueprint, with its agent identities'],
    [{ applications: ['default'] }, helper, false, 'no agent identity of another application'],
    [{ tenants: ['contoso'] }, helper, true, 'a part that is absent matches everything'],
  ]
  for (const [denial, client, denied, why] of table)
    test(`${JSON.stringify(denial)}, ${JSON.stringify(client)}: ${denied}, ${why}`, () => {
      assert.equal(verdict(policyWith(all, [denial]), client), denied ? 'denied' : 'granted')
    })

  test('a denial with agents and callers denies no permission', () => {
    const rules = [{ name: 'operators', callers, permissions: ['observe'] }]
    const policy = policyOf({ ...cast, applications, agents, rules, deny: [{ callers, agents: ['helper'] }] })
    assert.equal(policy.index.barring(caller).length, 0)
  })
})

describe('grants', () => {
  /** A function that authorizes the caller by this policy. */
  const authorizing = (policy: ReturnType<typeof policyWith>) => {
    const decided = createAuthorize(
      () => ids.home,
      (_policy, ...rest) => authorize(policy, ...rest),
    )
    return (client: Client) => decided(caller, requestOf(client))
  }
  const granting = authorizing(policyWith({ applications: ['assistants', 'default'], agents: ['helper', 'second'] }))
  const keyOf = (client: Client) => granting(client).key

  test('the key of a token differs for the application, for each agent identity, and only for those', () => {
    const keys = [{ application: 'assistants' }, helper, { agent: 'second' }].map(keyOf)
    assert.equal(new Set(keys).size, 3)
    assert.equal(keyOf({ application: helperId }), keyOf(helper))
    assert.equal(keyOf({ agent: helperId }), keyOf(helper))
  })

  test('a cached grant of an application is not that of an agent identity of the same name', () => {
    const twins = policyOf({
      ...cast,
      applications,
      agents: { default: agents.helper },
      rules: [{ ...base, applications: ['default'] }],
    })
    const twin = authorizing(twins)
    assert.equal(twin({ application: 'default' }).agentId, undefined)
    assert.throws(() => twin({ agent: 'default' }), { code: 'not_permitted' })
  })

  test('a refusal names what was requested, in the same words for an unknown agent identity', () => {
    const refusal = (agent: string): string => {
      try {
        authorizing(policyWith({}))({ agent })
        return ''
      } catch (thrown) {
        assert.ok(thrown instanceof BrokerError)
        return thrown.message.replace(`"${agent}"`, '')
      }
    }
    assert.match(refusal('helper'), /this tenant, scope and agent identity\. The request is for .*agent identity/)
    assert.equal(refusal('helper'), refusal('unknown'))
  })
})

describe('policy explain', () => {
  const why = (grants: Json, client: Client) => explain(policyWith(grants), caller, requestOf(client), ids.home)
  test('says that a rule does not list the agent identity', () => {
    assert.equal(why({ agents: ['second'] }, helper).rules[0]?.why, 'agents: "helper" is not listed')
    assert.equal(why({ agents: ['helper'] }, helper).rules[0]?.why, 'grants it')
    assert.equal(
      why({ agents: ['helper'] }, { application: 'assistants' }).rules[0]?.why,
      'applications: "assistants" is not listed',
    )
  })
  test('suggests a name that is near to an unknown one', () => {
    assert.match(why({}, { agent: 'helpr' }).summary, /unknown agent identity "helpr".*did you mean helper\?/)
  })
})

const withAgents = (changes: Json, ofRule: Json = {}): Json => ({
  ...cast,
  applications,
  agents: { ...agents, ...changes },
  rules: [{ ...rule, ...ofRule }],
})
describe('refused at load', () => {
  refuses([
    [withAgents({ x: { application: 'assistant', id: ids.home } }), 'agents.x.application', 'an unknown blueprint'],
    [withAgents({ x: { application: 'assistants', id: 'x' } }), 'agents.x.id', 'an id that is no GUID'],
    [withAgents({ x: { application: 'assistants' } }), 'agents.x.id', 'no id'],
    [withAgents({ x: { id: ids.home } }), 'agents.x.application', 'no blueprint'],
    [withAgents({ x: ids.home }), 'agents.x', 'an id alone'],
    [
      withAgents({ x: { application: 'assistants', id: ids.home, tenants: ['contoso'] } }),
      'agents.x.tenants',
      'several tenants',
    ],
    [withAgents({ x: { application: 'assistants', id: helperId } }), 'agents.x.id', 'the id of another agent identity'],
    [withAgents({ x: { application: 'assistants', id: blueprint } }), 'agents.x.id', 'the id of its blueprint'],
    [withAgents({ x: { application: 'assistants', id: ids.application } }), 'agents.x.id', 'the id of an application'],
    [withAgents({ X: { application: 'assistants', id: ids.home } }), 'agents.X', 'a name in upper case'],
    [withAgents({}, { agents: ['helpr'] }), 'rules[0].agents[0]', 'a rule with an unknown name'],
    [withAgents({}, { agents: [helperId] }), 'rules[0].agents[0]', 'a rule with an id, as for applications'],
    [withAgents({}, { agents: [] }), 'rules[0].agents', 'an empty list'],
    [withAgents({}, { agents: ['helper'], tenants: undefined }), 'rules[0].tenants', 'a rule without tenants'],
    [{ ...withAgents({}), deny: [{ agents: ['helpr'] }] }, 'deny[0].agents[0]', 'a denial with an unknown name'],
    [
      { ...withAgents({}), deny: [{ applications: ['default'], agents: ['helper'] }] },
      'deny[0].agents',
      'a denial of both, which would deny neither',
    ],
  ])
})
