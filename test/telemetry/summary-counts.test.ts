import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { authorize, type Grant } from '../../src/broker/authorization/authorize.ts'
import { summarizedIssuance } from '../../src/telemetry/issued-lines.ts'
import { tokenRequest, callerWith, cast, graph, ids, type Json, policyOf, under } from '../support/callers.ts'
import { noon } from '../support/clock.ts'
import { runs } from '../support/runs.ts'

const rules = ['a', 'b'].map((name, nth) => ({
  name,
  callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:*:worker' }],
  tenants: [['contoso', 'fabrikam'][nth] ?? ''],
  scopes: [graph],
}))
const policies = [policyOf({ ...cast, rules }), policyOf({ ...cast, rules, deny: [{ tenants: [ids.home] }] })]
const request = { requestId: 'r-1', endpoint: 'tokens', address: '192.0.2.7' }
const tokens = ['one', 'two'].map(token => ({
  token,
  fingerprint: token,
  traceId: undefined,
  correlationId: undefined,
}))
const people = await Promise.all(
  ['billing', 'web', 'x'.repeat(300)].map(team => callerWith({ sub: `system:serviceaccount:${team}:worker` })),
)

/** A grant of its own each time, as callers with new tokens get. */
const grantOf = (person: number, policy: number, tenant: string): Grant => {
  const [who, which] = [people[person], policies[policy]]
  assert.ok(who && which)
  return authorize(which, under(which, who), tokenRequest({ tenant }), ids.home)
}

function setUp() {
  const written: Json[] = []
  const sink = { write: (line: string) => void written.push(JSON.parse(line) as Json), flush: () => undefined }
  const issuance = summarizedIssuance(
    sink,
    line => line,
    () => noon,
  )
  return { issuance, written }
}

/** What lines say: who got which token by which rule under which policy. */
const of = ({ caller, rule, tenant, policy, token }: Json) => JSON.stringify([caller, rule, tenant, policy, token])

test('a caller with a new credential for each request gets one line, and is then counted', () => {
  const { issuance, written } = setUp()
  const [token] = tokens
  assert.ok(token)
  for (let nth = 0; nth < 100; nth++) issuance.issued(request, grantOf(0, 0, 'contoso'), token, 'hit')
  issuance.close()
  assert.deepEqual(
    written.map(line => line['repeated']),
    [undefined, 99],
  )
})

test('callers whose subjects have the same first 256 characters are counted separately', async () => {
  const { issuance, written } = setUp()
  const [token] = tokens
  const [policy] = policies
  assert.ok(token && policy)
  for (const end of ['1', '2']) {
    const who = await callerWith({ sub: `system:serviceaccount:${'x'.repeat(300)}${end}:worker` })
    issuance.issued(request, authorize(policy, under(policy, who), tokenRequest(), ids.home), token, 'hit')
  }
  assert.equal(written.length, 2)
})

test('lines and counts add up for every caller and token, in any order of events', t => {
  const issue = fc.record({
    person: fc.nat(2),
    policy: fc.nat(1),
    tenant: fc.constantFrom('contoso', 'fabrikam'),
    token: fc.nat(1),
    flush: fc.boolean(),
  })
  t.mock.timers.enable({ apis: ['setInterval'] })
  fc.assert(
    fc.property(fc.array(issue, { maxLength: 80 }), moves => {
      const { issuance, written } = setUp()
      const expected = new Map<string, number>()
      const grants = new Map<string, Grant>()
      for (const { person, policy, tenant, token, flush } of moves) {
        const words = `${person} ${policy} ${tenant}`
        // Remembered grants and new ones, in turn.
        const grant = (flush ? undefined : grants.get(words)) ?? grantOf(person, policy, tenant)
        grants.set(words, grant)
        const facts = tokens[token]
        assert.ok(facts)
        issuance.issued(request, grant, facts, 'hit')
        const key = `${words} ${token}`
        expected.set(key, (expected.get(key) ?? 0) + 1)
        if (flush) t.mock.timers.tick(60_000)
      }
      issuance.close()
      const actual = new Map<string, number>()
      for (const line of written) {
        const count = typeof line['repeated'] === 'number' ? line['repeated'] : 1
        assert.ok(count > 0)
        actual.set(of(line), (actual.get(of(line)) ?? 0) + count)
      }
      const counts = (map: ReadonlyMap<string, number>) => [...map.values()].toSorted((a, b) => a - b)
      assert.deepEqual(counts(actual), counts(expected))
    }),
    { numRuns: runs(200) },
  )
})
