import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { maxExchanges, planTargets } from '../../src/doctor/targets.ts'

const guid = (n: number, kind = '4'): string => `${kind}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const tenants = (count: number): Json =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`tenant-${n}`, guid(n)]))
const caller = { issuer: 'idp', subject: 'caller' }
const policyOf = (changes: Json) =>
  parsePolicy(
    JSON.stringify({
      applications: { one: guid(1, '3'), two: guid(2, '3') },
      issuers: { idp: { issuer: 'https://idp.example', audiences: ['broker'] } },
      rules: [
        {
          name: 'all',
          callers: [caller],
          tenants: '*',
          scopes: ['https://a.example/.default'],
          applications: ['one', 'two'],
        },
      ],
      ...changes,
    }),
  )

describe('what is probed', () => {
  test('each application once before any of them twice', () => {
    const { targets } = planTargets(policyOf({ tenants: tenants(3) }), undefined, undefined)
    assert.deepEqual(
      targets.map(({ application, tenantName }) => `${application} ${tenantName}`),
      ['one tenant-0', 'two tenant-0', 'one tenant-1', 'two tenant-1', 'one tenant-2', 'two tenant-2'],
    )
  })

  test('the rest is counted, also beyond the tenants that are looked at', () => {
    const few = planTargets(policyOf({ tenants: tenants(15) }), undefined, undefined)
    assert.deepEqual([few.targets.length, few.left], [maxExchanges, 10])
    const many = planTargets(policyOf({ tenants: tenants(5_000) }), undefined, undefined)
    assert.deepEqual([many.targets.length, many.left], [maxExchanges, 180 + 4_900])
  })

  test('the first scope that is granted and not denied to all, once for two names of one application', () => {
    const rules = [
      {
        name: 'a',
        callers: [caller],
        tenants: ['tenant-0'],
        scopes: ['https://denied.example/.default'],
        applications: ['one'],
      },
      {
        name: 'b',
        callers: [caller],
        tenants: ['tenant-0'],
        scopes: ['https://b.example/.default'],
        applications: ['one', 'same'],
      },
    ]
    const deny = [{ scopes: ['https://denied.example/.default'] }]
    const applications = { one: guid(1, '3'), same: guid(1, '3') }
    const { targets } = planTargets(policyOf({ applications, tenants: tenants(1), rules, deny }), undefined, undefined)
    assert.deepEqual(
      targets.map(({ application, scope }) => [application, scope]),
      [['one', 'https://b.example/.default']],
    )
  })

  test('a tenant that the policy does not grant is probed with the first scope of any rule, for every application', () => {
    const rules = [
      {
        name: 'a',
        callers: [caller],
        tenants: ['tenant-0'],
        scopes: ['https://b.example/.default'],
        applications: ['one'],
      },
    ]
    const { targets } = planTargets(policyOf({ tenants: tenants(1), rules }), undefined, guid(77))
    assert.deepEqual(
      targets.map(({ application, scope, tenantName, isGranted }) => [application, scope, tenantName, isGranted]),
      [
        ['one', 'https://b.example/.default', guid(77), false],
        ['two', 'https://b.example/.default', guid(77), false],
      ],
    )
  })
})
