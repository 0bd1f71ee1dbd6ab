import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseCases, runCases } from '../../src/commands/policy-cases.ts'
import { cast, graph, ids, policyOf } from '../support/callers.ts'

const policy = policyOf({
  ...cast,
  applications: { ...cast.applications, assistants: ids.home },
  agents: { helper: { application: 'assistants', id: ids.fabrikam } },
  rules: [
    {
      name: 'helper',
      callers: [{ issuer: 'onprem', subject: 'a' }],
      tenants: ['contoso'],
      scopes: [graph],
      agents: ['helper'],
    },
  ],
})

describe('cases of policy test name an agent identity', () => {
  const base = `caller: { issuer: onprem, subject: a }, tenant: contoso, scope: "${graph}"`
  const table: readonly (readonly [client: string, expect: string, wrong: RegExp | undefined, why: string])[] = [
    ['agent: helper', 'granted', undefined, 'by its name'],
    [`agent: ${ids.fabrikam}`, 'granted', undefined, 'by its client id'],
    ['application: assistants', 'denied', undefined, 'its blueprint is another thing'],
    ['agent: helpr', 'denied', undefined, 'an unknown one is denied'],
    ['agent: helper', 'denied', /granted by the rule "helper"/, 'an expectation that is wrong'],
    ['agent: helper, application: assistants', 'granted', /has an application and an agent/, 'not both'],
  ]
  for (const [client, expect, wrong, why] of table)
    test(`${client}, ${expect}: ${why}`, () => {
      const cases = parseCases('cases.yaml', `cases: [{ ${base}, ${client}, expect: ${expect} }]`)
      const [outcome] = runCases(policy, cases, 0)
      if (wrong === undefined) assert.equal(outcome?.wrong, undefined)
      else assert.match(outcome?.wrong ?? '', wrong)
    })
})
