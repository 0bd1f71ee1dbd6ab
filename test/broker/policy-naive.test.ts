import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { CallerFacts } from '../../src/broker/caller-facts.ts'
import { decide, type Policy } from '../../src/broker/policy.ts'
import { arm, askFor, cast, graph, ids, policyOf } from '../support/callers.ts'
import { naively, type PlainCaller, type PlainEntry, type PlainPolicy } from '../support/naive-policy.ts'

const apiKeys = {
  erp: { sha256: 'a1'.repeat(32), expires: '2027-01-31' },
  crm: { sha256: 'b2'.repeat(32), expires: '2027-01-31' },
}

/** Words that patterns and callers are made of: few, so that they meet. */
const word = fc.constantFrom('a', 'b', 'a.b', 'ab', 'A', '-', 'x:y')
const subject = fc.array(word, { minLength: 1, maxLength: 3 }).map(words => words.join(':'))
const pattern = fc.oneof(
  subject,
  fc.tuple(subject, subject).map(([before, after]) => `${before}*${after}`),
  subject.map(before => `${before}*`),
  subject.map(after => `*${after}`),
)
const claimName = fc.constantFrom('role', 'roles', '/deep/role', '/roles/0', 'a/b', '/a~1b', '__proto__')
const claimValue = fc.oneof(pattern, fc.constantFrom(1, 0, true, false))
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
const scopes = some([graph, arm])
const applications = some(['default', 'other'])
const rule = fc.record(
  { callers, tenants: fc.oneof(tenants, fc.constant('*' as const)), scopes, applications },
  { requiredKeys: ['callers', 'tenants', 'scopes'] },
)
const denial = fc
  .record({ callers, tenants, scopes, applications }, { requiredKeys: [] })
  .filter(each => Object.keys(each).length > 0)

const claims = fc.record(
  {
    role: fc.oneof(subject, fc.constantFrom(1, true)),
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
const ask = fc
  .record({
    tenant: fc.constantFrom(ids.contoso, ids.fabrikam, 'contoso', ids.home, 'nowhere'),
    scope: fc.constantFrom(graph, arm),
    application: fc.constantFrom('default', 'other', 'nothing'),
  })
  .map(askFor)
const home = fc.constantFrom(ids.home, undefined)

/** The two forms of one policy. */
function bothForms(rules: readonly PlainEntry[], deny: readonly PlainEntry[]): readonly [PlainPolicy, Policy] {
  const named = rules.map((each, nth) => ({ ...each, name: `rule ${nth}` }))
  const plain = { ...cast, apiKeys, rules: named, ...(deny.length > 0 && { deny }) }
  return [plain, policyOf(plain)]
}

function compiled(
  policy: Policy,
  ...[caller, asked, homeTenant]: [CallerFacts, ReturnType<typeof askFor>, string | undefined]
) {
  const decision = decide(policy, caller, asked, homeTenant)
  if (decision.verdict === 'granted') return decision.rules.map(({ name }) => name)
  if (decision.verdict === 'undecided') return 'undecided'
  return { no_rule: [], denied: 'denied', unknown_target: 'unknown' }[decision.reason]
}

test('the compiled policy says what a naive reading of the same file says', () => {
  const seen = new Map<string, number>()
  const property = fc.property(
    fc.array(rule, { minLength: 1, maxLength: 12 }),
    fc.array(denial, { maxLength: 2 }),
    fc.array(fc.tuple(facts, ask), { minLength: 10, maxLength: 10 }),
    home,
    (rules, deny, asks, homeTenant) => {
      const [plain, policy] = bothForms(rules, deny)
      for (const [caller, asked] of asks) {
        const expected = naively(plain, caller, asked, homeTenant)
        assert.deepEqual(compiled(policy, caller, asked, homeTenant), expected)
        const kind = typeof expected === 'string' ? expected : `${Math.min(expected.length, 2)} rules`
        seen.set(kind, (seen.get(kind) ?? 0) + 1)
      }
    },
  )
  fc.assert(property, { numRuns: 600 })
  for (const kind of ['denied', 'undecided', 'unknown', '0 rules', '1 rules', '2 rules']) {
    assert.ok((seen.get(kind) ?? 0) > 20, `hardly ever: ${kind}; the test would not notice`)
  }
})
