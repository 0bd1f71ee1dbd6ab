import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decide } from '../../../src/broker/policy/decide.ts'
import { explain } from '../../../src/broker/policy/explain.ts'
import { parseCases, runCases } from '../../../src/commands/policy-cases.ts'
import { callerWith, cast, graph, ids, type Json, policyOf, tokenRequest } from '../../support/callers.ts'
import { refuses, rule } from './invalid-world.ts'

/** The tenant of an agent identity in the policy: for any other, the policy refuses it. */

const helperId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1aa1'
const caller = await callerWith()
const callers = [{ issuer: 'onprem', subject: caller.subject }]
const everywhere: Json = { name: 'rule', callers, tenants: '*', scopes: [graph], agents: ['helper'] }

const policyWith = (tenant: string | undefined, of: Json = {}, more: Json = {}) =>
  policyOf({
    ...cast,
    agents: { helper: { application: 'default', id: helperId, ...(tenant !== undefined && { tenant }) } },
    rules: [{ ...everywhere, ...of }],
    ...more,
  })

const verdict = (policy: ReturnType<typeof policyWith>, tenant: string, home: string | undefined = ids.home) => {
  const decision = decide(policy, caller, tokenRequest({ tenant, agent: 'helper' }), home)
  return decision.verdict === 'denied' ? decision.reason : decision.verdict
}

describe('an agent identity with a tenant is granted in that tenant only', () => {
  type Row = readonly [tenant: string | undefined, requested: string, expected: string, why: string]
  const table: readonly Row[] = [
    ['contoso', ids.contoso, 'granted', 'its tenant, by a name'],
    ['contoso', 'contoso', 'granted', 'requested by that name too'],
    [ids.contoso, 'contoso', 'granted', 'its tenant by the id, requested by a name'],
    [ids.contoso.toUpperCase(), ids.contoso, 'granted', 'the case of an id does not matter'],
    ['contoso', ids.fabrikam, 'other_tenant', 'another tenant of the rule'],
    ['contoso', 'fabrikam', 'other_tenant', 'by its name'],
    [ids.contoso.toUpperCase(), 'fabrikam', 'other_tenant', 'its tenant by an id in upper case'],
    ['contoso', ids.application, 'other_tenant', 'an id that the policy does not have: the rule is for all'],
    ['contoso', 'nowhere', 'unknown_target', 'a name that the policy does not have'],
    [undefined, ids.fabrikam, 'granted', 'without a tenant, any that the rule lists'],
    [ids.home, ids.home, 'no_rule', 'the home tenant, which "*" does not include'],
    [ids.home, ids.contoso, 'other_tenant', 'of the home tenant, in another one'],
  ]
  for (const [tenant, requested, expected, why] of table)
    test(`tenant ${tenant}, requested in ${requested}: ${expected}, ${why}`, () => {
      assert.equal(verdict(policyWith(tenant), requested), expected)
    })

  test("by its client id in the place of an application, as in Entra's protocol", () => {
    const decided = (tenant: string) =>
      decide(policyWith('contoso'), caller, tokenRequest({ tenant, application: helperId }), ids.home).verdict
    assert.deepEqual([decided(ids.contoso), decided(ids.fabrikam)], ['granted', 'denied'])
  })

  test('its blueprint, and an agent identity of the same blueprint without a tenant, are not affected', () => {
    const agents = {
      helper: { application: 'default', id: helperId, tenant: 'contoso' },
      second: { application: 'default', id: ids.fabrikam },
    }
    const policy = policyWith('contoso', { applications: ['default'], agents: ['helper', 'second'] }, { agents })
    for (const client of [{ application: 'default' }, { agent: 'second' }])
      assert.equal(
        decide(policy, caller, tokenRequest({ tenant: ids.fabrikam, ...client }), ids.home).verdict,
        'granted',
      )
  })

  test('a denial takes precedence, and a caller that no rule lists gets no_rule, in every tenant', () => {
    const denied = policyWith('contoso', {}, { deny: [{ agents: ['helper'] }] })
    const unlisted = policyWith('contoso', { callers: [{ issuer: 'onprem', subject: 'other' }] })
    for (const tenant of [ids.contoso, ids.fabrikam])
      assert.deepEqual([verdict(denied, tenant), verdict(unlisted, tenant)], ['denied', 'no_rule'])
  })

  test('while the home tenant is not known, only its own tenant is undecided', () => {
    const decided = (tenant: string) => {
      const { verdict: what } = decide(
        policyWith('contoso'),
        caller,
        tokenRequest({ tenant, agent: 'helper' }),
        undefined,
      )
      return what
    }
    assert.deepEqual([decided(ids.contoso), decided(ids.fabrikam)], ['undecided', 'denied'])
  })
})

describe('policy explain and policy test say why', () => {
  const why = (tenant: string, policy = policyWith('contoso')) => {
    const { granted, summary, rules } = explain(policy, caller, tokenRequest({ tenant, agent: 'helper' }), ids.home)
    return [granted, summary, rules[0]?.why]
  }
  const elsewhere = '"helper" is of the tenant "contoso" only, as the policy says under agents'
  test('in the summary and for the rule, with the name of its tenant', () => {
    assert.deepEqual(why('fabrikam'), [false, `denied: ${elsewhere}`, `agents: ${elsewhere}`])
    assert.deepEqual(why('contoso'), [true, 'granted by the rule "rule"', 'grants it'])
    assert.match(
      String(why('fabrikam', policyWith(ids.application))[1]),
      new RegExp(`tenant "${ids.application}" only`),
    )
  })

  test('a rule that does not list the requested tenant is explained by that', () => {
    assert.deepEqual(why('fabrikam', policyWith('contoso', { tenants: ['contoso'] })), [
      false,
      'denied: no rule grants it',
      'tenants: "fabrikam" is not listed',
    ])
  })

  test('in a failed case', () => {
    const base = `caller: { issuer: onprem, subject: "${caller.subject}" }, scope: "${graph}", agent: helper`
    const cases = ['contoso', 'fabrikam'].map(tenant => `{ ${base}, tenant: ${tenant}, expect: granted }`)
    const [own, other] = runCases(policyWith('contoso'), parseCases('cases', `cases: [${cases.join(', ')}]`), 0)
    assert.deepEqual([own?.wrong, other?.wrong], [undefined, `expected granted, but it is denied: ${elsewhere}`])
  })
})

describe('a rule with an agent identity whose tenant it does not list', () => {
  const warning = 'rules[0].agents: the rule does not list the tenant of "helper", so it grants nothing for it'
  const table: readonly (readonly [tenant: string | undefined, tenants: readonly string[] | '*', warned: boolean])[] = [
    ['contoso', ['fabrikam'], true],
    [ids.contoso.toUpperCase(), ['fabrikam'], true],
    ['contoso', ['fabrikam', ids.contoso.toUpperCase()], false],
    ['contoso', '*', false],
    [undefined, ['fabrikam'], false],
  ]
  for (const [tenant, tenants, warned] of table)
    test(`tenant ${tenant} and tenants ${tenants.toString()}: ${warned ? 'a' : 'no'} warning`, () => {
      assert.deepEqual(
        policyWith(tenant, { tenants }).warnings.filter(each => each.startsWith('rules')),
        warned ? [warning] : [],
      )
    })
})

const withTenant = (tenant: unknown): Json => ({
  ...cast,
  agents: { helper: { application: 'default', id: helperId, tenant } },
  rules: [rule],
})
describe('refused at load', () => {
  refuses([
    [withTenant('contosso'), 'agents.helper.tenant', 'a name that is not defined'],
    [withTenant('Contoso'), 'agents.helper.tenant', 'a name in upper case, which cannot be defined'],
    [withTenant('*'), 'agents.helper.tenant', 'every tenant: an agent identity has one'],
    [withTenant('common'), 'agents.helper.tenant', 'a word of Entra that is no tenant'],
    [withTenant(`${ids.contoso}0`), 'agents.helper.tenant', 'an id with one character more'],
    [withTenant(''), 'agents.helper.tenant', 'an empty text'],
    [withTenant(null), 'agents.helper.tenant', 'nothing'],
    [withTenant(['contoso']), 'agents.helper.tenant', 'a list'],
    [
      { ...withTenant('contoso'), tenants: {}, rules: [{ ...rule, tenants: '*' }] },
      'agents.helper.tenant',
      'a name without tenants',
    ],
  ])

  test('with a suggestion', () => {
    assert.throws(
      () => policyOf(withTenant('contosso')),
      /agents\.helper\.tenant.*unknown tenant "contosso": not a GUID and not defined under tenants \(did you mean contoso\?\)/,
    )
  })
})
