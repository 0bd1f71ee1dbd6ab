import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { maxExchanges, planTargets } from '../../src/doctor/targets.ts'
import { testFaults } from './planted.ts'
import { agentOfOther, idsOf, rule, startDoctorWorld, textOf } from './world.ts'

const world = await startDoctorWorld()

const policyOf = (tenants: readonly string[] | '*', id: string = sample.agentIdentity) => ({
  applications: { default: sample.application, assistants: sample.blueprint },
  agents: { helper: { application: 'assistants', id } },
  rules: [rule({ tenants, agents: ['helper'] })],
})

test('an agent identity gets a token in its tenant, and needs none in the other tenants of its rule', async t => {
  const report = await world.examine(t, { policy: policyOf('*') })
  assert.deepEqual(idsOf(report, 'failed'), [])
  assert.match(textOf(report, 'federation.credential'), /assistants\nEntra accepts the federated credential/)
  assert.match(textOf(report, 'consent.token'), /contoso, helper\nEntra issues a token for https:\/\/graph/)
  assert.match(textOf(report, 'consent.token'), /fabrikam, helper\nthe agent identity is in another tenant/)
  // Two requests for each of the two tenants.
  assert.equal(report.exchanges, 4)
})

testFaults(world, [
  {
    fault: 'an agent identity that no tenant has (AADSTS700016)',
    policy: policyOf(['contoso', 'fabrikam'], '60000000-0000-4000-8000-0000000000ff'),
    fails: ['consent.token'],
    says: /AADSTS700016[\s\S]*has no agent identity 60000000-0000-4000-8000-0000000000ff/,
    exchanges: 4,
  },
  {
    fault: 'an agent identity of another blueprint (AADSTS700213)',
    policy: policyOf(['contoso'], agentOfOther),
    fails: ['consent.token'],
    says: /AADSTS700213[\s\S]*agent identity \S+a2 belongs to blueprint \S+c1(?![\s\S]*az ad app)/,
  },
  {
    fault: 'a blueprint without a federated credential (AADSTS70025)',
    policy: policyOf(['contoso', 'fabrikam']),
    plant: e => e.setFederatedCredentials(sample.blueprint, []),
    fails: ['federation.credential'],
    says: /assistants\n[\s\S]*az ad app federated-credential create --id \S+c1 /,
    skips: ['consent.token'],
    exchanges: 1,
  },
  {
    fault: 'a rule for the blueprint itself (AADSTS82001)',
    policy: { ...policyOf(['contoso']), rules: [rule({ tenants: ['contoso'], applications: ['assistants'] })] },
    fails: ['consent.token'],
    says: /AADSTS82001[\s\S]*one of its agent identities/,
    exchanges: 1,
  },
])

test('an agent identity is probed in its own tenant only, also if that has no name', async t => {
  const own = (tenant: string) => ({
    ...policyOf('*'),
    agents: { helper: { application: 'assistants', id: sample.agentIdentity, tenant } },
  })
  for (const tenant of ['contoso', sample.contoso.toUpperCase()]) {
    const report = await world.examine(t, { policy: own(tenant) })
    assert.deepEqual([idsOf(report, 'failed'), report.exchanges], [[], 2])
    assert.match(textOf(report, 'consent.token'), /contoso, helper\nEntra issues a token/)
    assert.doesNotMatch(textOf(report, 'consent.token'), /fabrikam/)
  }
  const { agents, applications, rules } = own(sample.tailspin)
  const issuers = { emulator: { issuer: 'https://idp.example', audiences: ['broker'] } }
  const policy = parsePolicy(
    JSON.stringify({ agents, applications, rules, issuers, tenants: { contoso: sample.contoso } }),
  )
  const probed = (homeTenant?: string, tenant?: string) =>
    planTargets(policy, homeTenant, tenant).targets.map(({ tenantName, agent }) => [tenantName, agent])
  assert.deepEqual(probed(), [[sample.tailspin, 'helper']])
  assert.deepEqual(probed(sample.tailspin), [], 'the home tenant, which "*" does not include')
  assert.deepEqual(probed(undefined, sample.contoso), [['contoso', undefined]])
})

test('agent identities count twice, so that there are no more requests', () => {
  const many = Array.from({ length: 15 }, (_, n) => `60000000-0000-4000-8000-0000000000${n + 10}`)
  const agents = Object.fromEntries(many.map((id, n) => [`agent-${n}`, { application: 'assistants', id }]))
  const policy = parsePolicy(
    JSON.stringify({
      applications: { default: sample.application, assistants: sample.blueprint },
      agents,
      tenants: { contoso: sample.contoso },
      issuers: { idp: { issuer: 'https://idp.example', audiences: ['broker'] } },
      rules: [
        {
          name: 'all',
          callers: [{ issuer: 'idp', subject: 'caller' }],
          tenants: ['contoso'],
          scopes: ['https://a.example/.default'],
          applications: ['default'],
          agents: Object.keys(agents),
        },
      ],
      deny: [{ agents: ['agent-0'] }],
    }),
  )
  const { targets, left } = planTargets(policy, undefined, undefined)
  assert.equal(targets.length, 1 + Math.floor((maxExchanges - 1) / 2))
  assert.equal(left, 15 - targets.length)
  assert.deepEqual(
    targets.slice(0, 3).map(({ agent }) => agent),
    [undefined, 'agent-1', 'agent-2'],
  )
})

test('a blueprint is not probed in a tenant that no rule grants, because it gets no token there either', () => {
  const { agents, applications, rules } = policyOf(['contoso'])
  const issuers = { emulator: { issuer: 'https://idp.example', audiences: ['broker'] } }
  const policy = parsePolicy(
    JSON.stringify({ agents, applications, rules, issuers, tenants: { contoso: sample.contoso } }),
  )
  const { targets } = planTargets(policy, undefined, sample.fabrikam)
  assert.deepEqual(
    targets.map(({ application }) => application),
    ['default'],
  )
})
