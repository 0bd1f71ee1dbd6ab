import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, test } from 'node:test'
import { authorize } from '../../../src/broker/authorization/authorize.ts'
import { keyWarnings } from '../../../src/broker/policy/file/entries/api-keys.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  tokenRequest,
  authenticator,
  cast,
  goodClaims,
  graph,
  ids,
  issuerWith,
  type Json,
  makeKey,
  mint,
  policyOf,
} from '../../support/callers.ts'
import { movableClock, noon } from '../../support/clock.ts'

const sha256 = (key: string): string => hash('sha256', key, 'hex')
const secret = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGXyZ012'
const issuerKey = makeKey('ES256', 'one')
const jwtLike = mint(issuerKey, goodClaims({ sub: 'other' }))
const apiKeys = {
  erp: { sha256: sha256(secret), expires: '2026-05-21' },
  crm: { sha256: sha256('made elsewhere').toUpperCase(), expires: '2027-01-31' },
  old: { sha256: sha256('old'), expires: '2026-05-20' },
  both: {
    sha256: sha256('leaving'),
    expires: '2026-05-21',
    next: { sha256: sha256('coming'), expires: '2027-05-21' },
  },
  odd: { sha256: sha256(jwtLike), expires: '2027-01-31' },
}
const policy = policyOf({
  ...cast,
  apiKeys,
  rules: [{ name: 'erp', callers: [{ apiKey: 'erp' }, { apiKey: 'both' }], tenants: ['contoso'], scopes: [graph] }],
})

function setUp() {
  const clock = movableClock()
  const refusals: string[] = []
  const verification = (_issuer: string | undefined, outcome: string) => void refusals.push(outcome)
  const authenticate = authenticator([issuerWith([issuerKey.jwk])], clock, verification, policy)
  /** The key's name, the subject of a JWT, or the reason of the refusal. */
  const verdict = async (credential: string): Promise<string> => {
    try {
      const caller = await authenticate(credential)
      return caller.kind === 'jwt' ? caller.subject : caller.id.replace('apiKey ', '')
    } catch (thrown) {
      assert.ok(thrown instanceof BrokerError)
      assert.equal(thrown.code, 'invalid_token')
      return thrown.reason
    }
  }
  return { clock, authenticate, verdict, refusals }
}

describe('a key is found by its hash alone', () => {
  const table: readonly [credential: string, expected: string, why: string][] = [
    [secret, 'erp', 'a key as the command makes it'],
    ['made elsewhere', 'crm', 'a key that was made elsewhere, its hash in upper case'],
    ['leaving', 'both', 'the key that is being replaced'],
    ['coming', 'both', 'the key that replaces it'],
    [jwtLike, 'odd', 'a key that looks like the JWT of another caller'],
    [`${secret.slice(0, -1)}3`, 'malformed', 'a key that differs in the last character'],
    [secret.slice(0, -1), 'malformed', 'a key without its last character'],
    [`${secret} `, 'malformed', 'a key followed by a space'],
    [`T${secret.slice(1)}`, 'malformed', 'a key that differs in the case of its first letter'],
    [sha256(secret), 'malformed', 'the hash in place of the key: reading the policy is not enough'],
    [sha256(sha256(secret)), 'malformed', 'the hash of the hash'],
    ['erp', 'malformed', "the key's name"],
    ['', 'malformed', 'nothing'],
    ['old', 'expired', 'a key that has expired'],
  ]
  for (const [credential, expected, why] of table) {
    test(`${expected}: ${why}`, async () => assert.equal(await setUp().verdict(credential), expected))
  }

  test('every change of one character makes another key', async () => {
    const { verdict } = setUp()
    for (let at = 0; at < secret.length; at++) {
      const other = secret[at] === 'x' ? 'y' : 'x'
      assert.equal(await verdict(secret.slice(0, at) + other + secret.slice(at + 1)), 'malformed')
    }
  })
})

test('a key stops working at the beginning of its date, UTC, and at no other time', async () => {
  const { clock, verdict } = setUp()
  clock.advance(Date.UTC(2026, 4, 21) - noon - 1)
  assert.equal(await verdict(secret), 'erp', 'the last millisecond of the day before')
  clock.advance(1)
  assert.equal(await verdict(secret), 'expired')
  assert.equal(await verdict('leaving'), 'expired', 'the key that was being replaced')
  assert.equal(await verdict('coming'), 'both', 'the one that replaces it has a date of its own')
  clock.jumpWall(-1)
  assert.equal(await verdict(secret), 'erp', 'a refusal is not cached')
})

test('the caller is returned at once, and is the same object each time', () => {
  const { authenticate } = setUp()
  const caller = authenticate(secret)
  assert.ok(!(caller instanceof Promise))
  assert.equal(authenticate(secret), caller)
  assert.ok(Object.isFrozen(caller))
})

test('a caller has the name and the date of its key, and nothing of the key itself', () => {
  const caller = setUp().authenticate('coming')
  assert.ok(!(caller instanceof Promise) && caller.kind === 'apiKey')
  assert.deepEqual([caller.id, caller.key, caller.expires], ['apiKey both', 'both', '2027-05-21'])
  const { policy: _, ...rest } = caller
  assert.doesNotMatch(JSON.stringify(rest), /coming/)
  assert.ok(!JSON.stringify(rest).includes(sha256('coming')))
})

test('the refusal of an expired key is reported; a valid key is not, because keys are looked up for every request', async () => {
  const { verdict, refusals } = setUp()
  await verdict('coming')
  await verdict('old')
  assert.deepEqual(refusals, ['expired'])
})

describe('rules refer to keys by name', () => {
  const grant = (credential: string, rule: Json): string => {
    const caller = setUp().authenticate(credential)
    assert.ok(!(caller instanceof Promise))
    const one = policyOf({ ...cast, apiKeys, rules: [{ name: 'r', tenants: ['contoso'], scopes: [graph], ...rule }] })
    try {
      return authorize(one, caller, tokenRequest(), ids.home).rule
    } catch (thrown) {
      return (thrown as BrokerError).reason
    }
  }
  const table: readonly [credential: string, caller: Json, expected: string, why: string][] = [
    [secret, { apiKey: 'erp' }, 'r', 'the key that the rule names'],
    ['leaving', { apiKey: 'both' }, 'r', 'a key and its replacement have one name'],
    ['coming', { apiKey: 'both' }, 'r', 'a key and its replacement have one name'],
    [secret, { apiKey: 'crm' }, 'no_rule', 'another key'],
    [secret, { issuer: 'onprem', subject: 'erp' }, 'no_rule', "a subject that is the key's name"],
    [secret, { issuer: 'onprem', claims: { key: 'erp' } }, 'no_rule', 'a key has no claims'],
  ]
  for (const [credential, caller, expected, why] of table) {
    test(`${expected}: ${why}`, () => assert.equal(grant(credential, { callers: [caller] }), expected))
  }
})

describe('warnings about the keys of a valid file', () => {
  const keys = [{ name: 'erp', sha256: '', expires: '2027-01-31', expiresAt: Date.UTC(2027, 0, 31) }]
  const table: readonly [now: number, expected: RegExp | undefined, why: string][] = [
    [Date.UTC(2027, 0, 17), undefined, 'two weeks ahead'],
    [Date.UTC(2027, 0, 17) + 1, /^API key "erp" expires in 13 days \(2027-01-31\)$/, 'less than that'],
    [Date.UTC(2027, 0, 31) - 1, /expires in 0 days/, 'the last moment'],
    [Date.UTC(2027, 0, 31), /^API key "erp" has expired \(2027-01-31\)/, 'the first instant at which it is expired'],
    [Date.UTC(2030, 0, 1), /has expired/, 'long after'],
  ]
  for (const [now, expected, why] of table) {
    test(why, () => {
      const [warning] = keyWarnings(keys, now)
      if (expected) assert.match(warning ?? '', expected)
      else assert.equal(warning, undefined)
    })
  }
})
