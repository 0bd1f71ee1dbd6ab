import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { CallerFacts } from '../../../src/broker/policy/caller-facts.ts'
import { explain } from '../../../src/broker/policy/explain.ts'
import type { TokenRequest, Policy } from '../../../src/broker/policy/model.ts'
import { decide } from '../../../src/broker/policy/decide.ts'
import { arm, tokenRequest, cast, graph, ids, policyOf } from '../../support/callers.ts'
import { naively, type PlainCaller, type PlainEntry, type PlainPolicy } from '../../support/naive-policy.ts'
import { runs } from '../../support/runs.ts'

const apiKeys = {
  erp: { sha256: 'a1'.repeat(32), expires: '2027-01-31' },
  crm: { sha256: 'b2'.repeat(32), expires: '2027-01-31' },
}

/** Words that patterns and callers are made of: few, so that they often match. */
const word = fc.constantFrom('a', 'b', 'a.b', 'ab', 'A', '-', 'x:y')
const subject = fc.array(word, { minLength: 1, maxLength: 3 }).map(words => words.join(':'))
const pattern = fc.oneof(
  subject,
  fc.tuple(subject, subject).map(([before, after]) => `${before}*${after}`),
  subject.map(before => `${before}*`),
  subject.map(after => `*${after}`),
)
const claimName = fc.constantFrom('role', 'roles', '/deep/role', '/roles/0', 'a/b', '/a~1b', '__proto__')
const claimValue = fc.oneof(pattern, fc.constantFrom(1, 0, true, false, '1', 'true', '1*'))
const issuer = fc.constantFrom('onprem', 'entra')
const label = fc.constantFrom('a', 'b', 'A', 'ab')
const dnsName = fc.array(label, { minLength: 1, maxLength: 3 }).map(labels => labels.join('.'))
const uri = subject.map(path => `spiffe://prod.example/${path}`)

const plainCaller: fc.Arbitrary<PlainCaller> = fc.oneof(
  fc.record({ issuer, subject: pattern }),
  fc.record({
    issuer,
    claims: fc.dictionary(claimName, claimValue, { minKeys: 1, maxKeys: 2, noNullPrototype: true }),
  }),
  fc.record({ issuer, subject: pattern, claims: fc.record({ role: claimValue }) }),
  fc.record({ apiKey: fc.constantFrom('erp', 'crm') }),
  fc.record({
    san: fc.oneof(
      uri,
      uri.map(each => `${each}*`),
    ),
  }),
  fc.record({
    san: fc.oneof(
      dnsName,
      dnsName.map(name => `*.${name}`),
      dnsName.map(name => `a*${name}`),
    ),
  }),
)

const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 })
const callers = fc.array(plainCaller, { minLength: 1, maxLength: 3 })
const tenants = some(['contoso', ids.fabrikam.toUpperCase(), ids.home])
const scopeNames = { graph, 'graph-too': graph, arm }
const scopes = some([graph, arm, 'graph', 'arm'])
const applications = some(['default', 'other'])
/** One without a tenant, and one each with a tenant by its name, by its id in upper case, and by the home tenant's id. */
const agentIdentities = {
  anywhere: { application: 'default', id: '60000000-0000-4000-8000-0000000000a1' },
  named: { application: 'other', id: '60000000-0000-4000-8000-0000000000A2', tenant: 'contoso' },
  shouted: { application: 'other', id: '60000000-0000-4000-8000-0000000000a3', tenant: ids.fabrikam.toUpperCase() },
  homely: { application: 'default', id: '60000000-0000-4000-8000-0000000000a4', tenant: ids.home },
}
const agentNames = Object.keys(agentIdentities)
const agents = some(agentNames)
const rule = fc.record(
  { callers, tenants: fc.oneof(tenants, fc.constant('*' as const)), scopes, applications, agents },
  { requiredKeys: ['callers', 'tenants', 'scopes'] },
)
const denial = fc
  .record({ callers, tenants, scopes, applications, agents }, { requiredKeys: [] })
  .filter(each => Object.keys(each).length > 0 && !(each.applications && each.agents))

const claims = fc.record(
  {
    role: fc.oneof(subject, fc.constantFrom(1, true, 'true', '1', '01', 12)),
    roles: fc.array(fc.oneof(subject, fc.constantFrom(0, false)), { maxLength: 3 }),
    deep: fc.record({ role: subject }),
    'a/b': subject,
  },
  { requiredKeys: [] },
)
const facts: fc.Arbitrary<CallerFacts> = fc.oneof(
  fc.record({ kind: fc.constant('jwt' as const), issuer, subject, claims }),
  fc.record({
    kind: fc.constant('apiKey' as const),
    key: fc.constantFrom('erp', 'crm'),
    expires: fc.constant('2027-01-31'),
  }),
  fc.record({
    kind: fc.constant('certificate' as const),
    uris: fc.array(uri, { maxLength: 2 }),
    dnsNames: fc.array(
      dnsName.map(name => name.toLowerCase()),
      { maxLength: 2 },
    ),
    fingerprint: fc.constant(''),
  }),
)
const anyRequest = fc
  .record({
    tenant: fc.constantFrom(ids.contoso, ids.fabrikam, 'contoso', ids.home, 'nowhere'),
    scope: fc.constantFrom(graph, arm, 'graph', 'graph-too', 'arm', 'storage'),
    client: fc.oneof(
      fc.record({ application: fc.constantFrom('default', 'other', 'nothing') }),
      fc.record({ agent: fc.constantFrom(...agentNames, 'default', 'nothing') }),
    ),
  })
  .map(({ client, ...rest }) => ({ ...rest, ...client }))
  .map(tokenRequest)
const home = fc.constantFrom(ids.home, undefined)

/** The two forms of one policy. */
function bothForms(rules: readonly PlainEntry[], deny: readonly PlainEntry[]): readonly [PlainPolicy, Policy] {
  const named = rules.map((each, nth) => ({ ...each, name: `rule ${nth}` }))
  const plain = {
    ...cast,
    agents: agentIdentities,
    scopes: scopeNames,
    apiKeys,
    rules: named,
    ...(deny.length > 0 && { deny }),
  }
  return [plain, policyOf(plain)]
}

type Question = readonly [caller: CallerFacts, request: TokenRequest, home: string | undefined]

const reasons = {
  no_rule: [],
  denied: 'denied',
  unknown_target: 'unknown',
  unknown_client_id: 'unknown',
  other_tenant: 'elsewhere',
} as const

function compiled(policy: Policy, ...[caller, request, homeTenant]: Question) {
  const decision = decide(policy, caller, request, homeTenant)
  if (decision.verdict === 'granted') return decision.rules.map(({ name }) => name)
  if (decision.verdict === 'undecided') return 'undecided'
  return reasons[decision.reason]
}

/** The rules that grant it according to the explanation. */
function explained(policy: Policy, caller: CallerFacts, request: TokenRequest): readonly string[] {
  const { granted, rules } = explain(policy, caller, request, ids.home)
  const names = rules.filter(({ why }) => why === 'grants it').map(each => each.name)
  assert.equal(granted, names.length > 0)
  return names
}

/** How often each kind of decision occurred. */
type Seen = Map<string, number>

function agree(
  rules: readonly PlainEntry[],
  deny: readonly PlainEntry[],
  questions: readonly Question[],
  seen: Seen,
): void {
  const [plain, policy] = bothForms(rules, deny)
  for (const [caller, request, homeTenant] of questions) {
    const expected = naively(plain, caller, request, homeTenant)
    assert.deepEqual(compiled(policy, caller, request, homeTenant), expected)
    if (Array.isArray(expected) && homeTenant !== undefined)
      assert.deepEqual(explained(policy, caller, request), expected)
    const kind = typeof expected === 'string' ? expected : `${Math.min(expected.length, 2)} rules`
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
  }
}

function hasSeen(seen: Seen, kinds: readonly string[]): void {
  for (const kind of kinds) assert.ok((seen.get(kind) ?? 0) > runs(20), `too rare to be tested: ${kind}`)
}

const anyQuestions = fc.array(fc.tuple(facts, anyRequest, home), { minLength: 10, maxLength: 10 })

test('the compiled policy decides as a naive reading of the same file', () => {
  const seen: Seen = new Map()
  const rules = fc.array(rule, { minLength: 1, maxLength: 12 })
  const denials = fc.array(denial, { maxLength: 2 })
  fc.assert(
    fc.property(rules, denials, anyQuestions, (...drawn) => agree(...drawn, seen)),
    { numRuns: runs(500) },
  )
  hasSeen(seen, ['denied', 'undecided', 'unknown', 'elsewhere', '0 rules', '1 rules'])
})

test('the same with many rules and denials for one tenant', () => {
  const seen: Seen = new Map()
  const one = fc.constantFrom('a', 'b')
  const crowd = fc.oneof(
    fc.record({ issuer, subject: fc.oneof(one, fc.constantFrom('a*', '*b')) }),
    fc.record({ issuer, claims: fc.record({ roles: one }) }),
    fc.record({ issuer, claims: fc.record({ '/deep/role': fc.oneof(one, fc.constant('a*')) }) }),
    fc.record({ san: fc.constantFrom('spiffe://prod.example/a', 'spiffe://prod.example/*', 'a', '*.a') }),
    fc.record({ apiKey: fc.constantFrom('erp', 'crm') }),
  )
  const who = fc.array(crowd, { minLength: 1, maxLength: 2 })
  const where = { tenants: fc.constant(['contoso']), scopes: fc.constant([graph]) }
  const rules = fc.array(fc.record({ callers: who, ...where }), { minLength: 8, maxLength: 20 })
  const rarely = fc.option(who, { freq: 30, nil: undefined })
  const denials = fc.array(
    rarely.chain(named => fc.record({ ...where, ...(named ? { callers: fc.constant(named) } : {}) })),
    { minLength: 4, maxLength: 8 },
  )
  const few = fc.oneof(
    fc.record({
      kind: fc.constant('jwt' as const),
      issuer,
      subject: fc.constantFrom('a', 'b', 'ab', 'c'),
      claims: fc.record({ roles: fc.subarray(['x', 'a', 'b']), deep: fc.record({ role: one }) }, { requiredKeys: [] }),
    }),
    facts,
  )
  const asked = tokenRequest({ tenant: ids.contoso })
  const questions = fc
    .array(few, { minLength: 10, maxLength: 10 })
    .map(all => all.map((each): Question => [each, asked, ids.home]))
  fc.assert(
    fc.property(rules, fc.oneof(fc.constant([]), denials), questions, (...drawn) => agree(...drawn, seen)),
    { numRuns: runs(500) },
  )
  hasSeen(seen, ['denied', '0 rules', '1 rules', '2 rules'])
})
