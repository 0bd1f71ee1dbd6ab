import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { requirePermission } from '../../src/broker/authorization/authorize-operation.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { BrokerError } from '../../src/errors.ts'
import { authenticator, goodClaims, ids, issuerWith, type Json, makeKey, mint } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'
import { read } from '../support/sources.ts'
import { blocksOf, sectionOf } from './tables.ts'

const page = read('docs/callers.md')
const [head = ''] = blocksOf(page.split('\n## ')[0] ?? '', 'yaml')
const policy = parsePolicy(`${head}${blocksOf(sectionOf(page, '## Users of Entra'), 'yaml')[0]}`)
const key = makeKey()

/** `observe`, or the reason why a caller with these claims does not have the permission. */
async function verdict(claims: Json): Promise<string> {
  const issuers = policy.issuers.map(({ name, issuer, audiences }) =>
    issuerWith([key.jwk], { name, issuer, audiences }),
  )
  try {
    const caller = await authenticator(issuers, movableClock(), undefined, policy)(mint(key, goodClaims(claims)))
    requirePermission(policy, caller, 'observe')
    return 'observe'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError, String(thrown))
    return thrown.reason
  }
}

const person = '5d1f0000-0000-4000-8000-00000000000d'
const other = {
  iss: 'https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000004/v2.0',
  aud: '7b7a7978-0000-4000-8000-000000000005',
  azp: '04b07795-0000-4000-8000-00000000000c',
  sub: 'pairwise',
  scp: 'Broker.Access',
  oid: ids.other,
}
const operator = { ...other, roles: ['Broker.Observe'] }

const table: readonly (readonly [claims: Json, expected: string, why: string])[] = [
  [operator, 'observe', 'a user with the role'],
  [{ ...other, oid: person }, 'observe', 'a user by the object id'],
  [{ ...other, oid: person, acct: 1 }, 'observe', 'a guest by the object id'],
  [other, 'no_rule', 'another user'],
  [{ ...operator, acct: 1 }, 'no_rule', 'a guest with the role'],
  [{ ...operator, azp: ids.other }, 'no_rule', 'another client application'],
  [{ ...operator, scp: undefined }, 'no_rule', 'an application'],
  [{ ...operator, idtyp: 'app' }, 'claims', 'an application token with scp'],
  [{ ...operator, sub: ids.other }, 'claims', 'one value as sub and oid'],
]

describe('docs/callers.md: the section about users decides as the page says', () => {
  for (const [claims, expected, why] of table)
    test(`${why}: ${expected}`, async () => assert.equal(await verdict(claims), expected))
})
