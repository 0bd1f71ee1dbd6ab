import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validateExchangeAudience } from '../../../src/broker/policy/file/validate.ts'
import { cast, graph, ids, policyOf } from '../../support/callers.ts'

const callers = [{ issuer: 'onprem', subject: 'worker' }]
const policy = (scope: string) =>
  policyOf({ ...cast, rules: [{ name: 'one', callers, tenants: '*', scopes: [graph, scope] }] })

const table: readonly (readonly [audience: string, scope: string, where: readonly string[], why: string])[] = [
  [`api://${ids.other}`, 'api://unrelated/.default', [], 'nothing in common'],
  [`api://${ids.other}`, `api://${ids.other}/.default`, ['rule "one"'], 'a caller would get the next assertion'],
  [`api://${ids.other}`, `${ids.other}/.default`, ['rule "one"'], 'the same by its client id'],
  [`api://${ids.other}`, `API://${ids.other.toUpperCase()}//.default`, ['rule "one"'], 'the same in other words'],
  [
    'token-broker',
    'api://unrelated/.default',
    ['issuers.onprem.audiences', 'issuers.entra.audiences'],
    'callers would send the broker their assertions',
  ],
]
for (const [audience, scope, where, why] of table)
  test(`the identity's audience ${audience} beside the scope ${scope}: ${why}`, () => {
    assert.deepEqual(
      validateExchangeAudience(policy(scope), audience).map(error => error.where),
      where,
    )
  })
