import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAuthorize } from '../../../src/broker/authorization/authorize.ts'
import { describeClaims } from '../../../src/broker/authentication/describe-caller.ts'
import { decide } from '../../../src/broker/policy/decide.ts'
import { explain } from '../../../src/broker/policy/explain.ts'
import { scopeOrNamePattern } from '../../../src/broker/lib/identifiers.ts'
import { compilePolicy, PolicyCompiler } from '../../../src/broker/policy/file/compile.ts'
import { partsOf } from '../../../src/broker/policy/file/policy-parts.ts'
import { readPolicyText } from '../../../src/broker/policy/file/parse.ts'
import { arm, cast, goodClaims, graph, ids, type Json, policyOf, tokenRequest } from '../../support/callers.ts'
import { placesOf, refuses, rule, withRule } from './invalid-world.ts'

const names = { graph, arm, 'graph-too': graph }
const named = (scopes: readonly string[], more: Json = {}): Json => ({
  ...withRule({ scopes }),
  scopes: names,
  ...more,
})

/** The verdict for the scope of a request, under a policy. */
function verdict(policy: Json, scope: string): string {
  const compiled = policyOf(policy)
  const { facts } = describeClaims(compiled, goodClaims(), 0)
  const decision = decide(compiled, facts, tokenRequest({ tenant: 'contoso', scope }), ids.home)
  return decision.verdict === 'denied' ? decision.reason : decision.verdict
}

describe('names of scopes', () => {
  const table: readonly (readonly [policy: Json, scope: string, expected: string, why: string])[] = [
    [named(['graph']), 'graph', 'granted', 'a name in the rule and in the request'],
    [named(['graph']), graph, 'granted', 'a name in the rule only'],
    [named([graph]), 'graph', 'granted', 'a name in the request only'],
    [named(['graph']), 'graph-too', 'granted', 'two names of one scope'],
    [named(['graph']), 'arm', 'no_rule', 'a name of another scope'],
    [named(['graph']), `${graph.slice(0, -9)}//.default`, 'no_rule', 'a slash more is still another scope'],
    [named(['graph']), 'storage', 'unknown_target', 'a name that is not defined'],
    [named(['graph']), 'constructor', 'unknown_target', 'a name of a property of every object'],
    [withRule({}), 'graph', 'unknown_target', 'a policy without names'],
    [named([graph], { deny: [{ scopes: ['graph'] }] }), graph, 'denied', 'a name in the denial only'],
    [named(['graph'], { deny: [{ scopes: [graph] }] }), 'graph-too', 'denied', 'no name evades a denial'],
    [named(['graph'], { deny: [{ scopes: ['arm'] }] }), 'graph', 'granted', 'a denial of another scope'],
  ]
  for (const [policy, scope, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(verdict(policy, scope), expected))

  test('are resolved before the key of the cache', () => {
    const policy = policyOf(named(['graph']))
    const facts = { ...describeClaims(policy, goodClaims(), 0).facts, id: 'x', policy }
    const authorize = createAuthorize(() => ids.home)
    const keys = ['graph', 'graph-too', graph].map(
      scope => authorize(facts as never, tokenRequest({ tenant: 'contoso', scope })).key,
    )
    assert.deepEqual(new Set(keys), new Set([`${ids.application} ${ids.contoso} ${graph}`]))
  })

  test('are never a scope themselves, and no scope is a name', () => {
    const name = /^[a-z0-9.-]+$/
    const pattern = new RegExp(`^${scopeOrNamePattern}$`)
    for (const [text, fits] of [
      ['graph', true],
      [graph, true],
      ['a/.default', true],
      [ids.contoso, false],
      [`${ids.contoso}/.default`, true],
      ['graph/', false],
    ] as const)
      assert.equal(pattern.test(text), fits, text)
    for (const scope of [graph, 'a/.default', `${ids.contoso}/.default`]) assert.ok(!name.test(scope))
  })

  test('are the same in a file that another thread has read, part by part', () => {
    const text = readPolicyText(JSON.stringify(named(['graph', arm], { deny: [{ scopes: ['arm'] }] })))
    const compiler = new PolicyCompiler()
    for (const part of structuredClone([...partsOf(text)])) compiler.add(part)
    const policy = compiler.finish('v')
    assert.deepEqual(policy.rules[0]?.scopes, new Set([graph, arm]))
    assert.deepEqual([policy.scopes, policy.hints], [compilePolicy(text, 'v').scopes, compilePolicy(text, 'v').hints])
  })
})

describe('names of scopes that are refused', () => {
  const withScopes = (scopes: unknown): Json => ({ ...withRule({}), scopes })
  const own = { issuers: { onprem: { issuer: 'https://a.example', audiences: ['token-broker'] } } }
  refuses([
    [withScopes({ Graph: graph }), 'scopes.Graph', 'upper case'],
    [withScopes({ [ids.home]: graph }), `scopes.${ids.home}`, 'a GUID, which would be a resource'],
    [withScopes({ openid: graph }), 'scopes.openid', 'a scope that clients add by themselves'],
    [withScopes({ graph: 'https://graph.microsoft.com' }), 'scopes.graph', 'no /.default'],
    [withScopes({ graph: 'arm', arm }), 'scopes.graph', 'a name of a name'],
    [withScopes({ graph: 'https://*/.default' }), 'scopes.graph', 'a pattern'],
    [withScopes([graph]), 'scopes', 'a list'],
    [named(['storage']), 'rules[0].scopes[0]', 'a name that is not defined'],
    [named(['constructor']), 'rules[0].scopes[0]', 'a name of a property of every object'],
    [named(['graph'], { deny: [{ scopes: ['storage'] }] }), 'deny[0].scopes[0]', 'a name that a denial needs'],
    [
      named(['me'], { ...own, scopes: { me: 'token-broker/.default' } }),
      'rules[0].scopes[0]',
      "the broker's own audience",
    ],
    [
      named(['me'], { scopes: { me: 'api://AzureADTokenExchange/.default' } }),
      'rules[0].scopes[0]',
      'the audience of assertions',
    ],
  ])

  test('the audience of the broker may be named, to deny it', () => {
    assert.deepEqual(
      placesOf(named(['graph'], { scopes: { graph, me: 'token-broker/.default' }, deny: [{ scopes: ['me'] }] })),
      [],
    )
  })

  test('a misspelt name is reported with the one that is meant', () => {
    assert.throws(
      () => policyOf(named(['grahp'], { scopes: { ...names, graphs: graph } })),
      /unknown scope "grahp": not <resource>\/\.default and not defined under scopes$/m,
    )
    assert.throws(() => policyOf(named(['graaph'])), /unknown scope "graaph": .* \(did you mean graph\?\)/)
  })
})

describe('policy explain', () => {
  const summary = (request: Parameters<typeof tokenRequest>[0], policy = policyOf(named(['graph']))): string =>
    explain(policy, describeClaims(policy, goodClaims(), 0).facts, tokenRequest(request), ids.home).summary

  test('accepts names, and names what is unknown', () => {
    assert.match(summary({ tenant: 'contoso', scope: 'graph' }), /^granted by/)
    assert.equal(
      summary({ tenant: 'contoso', scope: 'graaph' }),
      'denied: unknown scope "graaph": not <resource>/.default and not defined under scopes (did you mean graph?)',
    )
    assert.match(
      summary({ tenant: 'contosso', scope: 'graph' }),
      /unknown tenant "contosso": .* \(did you mean contoso\?\)$/,
    )
    assert.match(
      summary({ application: 'defualt1' }),
      /unknown application "defualt1": not defined under applications$/,
    )
  })

  test('shows what a name stands for', () => {
    const policy = policyOf(named(['graph']))
    const { rules } = explain(
      policy,
      describeClaims(policy, goodClaims(), 0).facts,
      tokenRequest({ tenant: 'contoso', scope: 'arm' }),
      ids.home,
    )
    assert.equal(rules[0]?.why, `scopes: "${arm}" is not listed`)
  })
})

test('hints list each scope that has a name and is written out, with three of its places', () => {
  const rules = Array.from({ length: 5 }, (_, nth) => ({ ...rule, name: `${nth}`, scopes: ['arm', graph] }))
  const { hints, warnings } = policyOf({ ...cast, scopes: names, rules, deny: [{ scopes: [arm] }] })
  assert.deepEqual(hints, [
    `"${graph}" has the name graph under scopes; it is written out in rules[0].scopes[1], rules[1].scopes[1], rules[2].scopes[1] and 2 more`,
    `"${arm}" has the name arm under scopes; it is written out in deny[0].scopes[0]`,
  ])
  assert.deepEqual(
    warnings.filter(warning => warning.includes('scope')),
    [],
  )
  assert.deepEqual(policyOf(named(['graph'])).hints, [])
})
