import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  authenticator,
  cast,
  goodClaims,
  issuerWith,
  type Json,
  makeKey,
  mint,
  policyOf,
} from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { runs } from '../../support/runs.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heapBytes(): number {
  // Weak references need more than one collection.
  for (let n = 0; n < 3; n++) collect()
  return process.memoryUsage().heapUsed
}

const key = makeKey('EdDSA', 'one')
const policy = policyOf({
  ...cast,
  rules: [
    {
      name: 'another caller',
      callers: [{ issuer: 'onprem', claims: { roles: 'a', '/dense/a': 'b' } }],
      permissions: ['purge'],
    },
  ],
})
const tokens = runs(5_000)
const most = 48 * 1024 * 1024
const dense = (item: unknown, bytes = 13_000) =>
  Array.from({ length: bytes / (JSON.stringify(item).length + 1) }, () => item)

/** A caller that no rule matches sends tokens of about 13 kB, in turn these, each with its own subject. */
const attacks: readonly ((nth: number) => Json)[] = [
  // Claims that the policy names, full of empty lists, objects, short texts and fractions.
  () => ({ roles: dense([]) }),
  () => ({ roles: dense({ a: {} }) }),
  () => ({ roles: dense('ab') }),
  () => ({ roles: dense(1.5) }),
  // Claims that it does not name, alone and beside one that it names.
  () => ({ groups: dense([]) }),
  () => ({ dense: { b: dense([]) } }),
  // Long texts.
  nth => ({ dense: { a: `${nth}${'a'.repeat(13_000)}` } }),
  nth => ({ azp: `${nth}${'a'.repeat(13_000)}` }),
  nth => ({ sub: `${nth}${'a'.repeat(13_000)}` }),
]

test('the heap is bounded, whatever thousands of tokens of 13 kB a caller without a rule sends', async () => {
  const authenticate = authenticator([issuerWith([key.jwk])], movableClock(), undefined, policy)
  const before = heapBytes()
  for (let nth = 0; nth < tokens; nth++) {
    const claims = attacks[nth % attacks.length]?.(nth)
    await authenticate(mint(key, goodClaims({ sub: `attacker-${nth}`, ...claims })))
  }
  const more = heapBytes() - before
  assert.ok(more < most, `${Math.round(more / 1024 / 1024)} MB more`)
  const last = mint(key, goodClaims())
  await authenticate(last)
  assert.ok(!(authenticate(last) instanceof Promise), 'a normal token is still cached')
})

describe('a token has one spelling', () => {
  const good = mint(key, goodClaims({ jti: 'x' }))
  const [head = '', body = '', sign = ''] = good.split('.')
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  /** The last character with its unused bits set. 64 bytes leave 4 of them. */
  const padBits = (part: string) => part.slice(0, -1) + (alphabet[alphabet.indexOf(part.at(-1) ?? '') + 1] ?? '')
  const table: readonly [token: string, why: string][] = [
    [`${head}.${body}.${padBits(sign)}`, 'unused bits in the signature'],
    [`${head}.${body}.${sign}=`, 'padding'],
    [`${head}.${body}.${sign}==`, 'all the padding'],
    [`${head}.${body}.${sign.slice(0, 9)} ${sign.slice(9)}`, 'a space in the signature'],
    [`${head}.${body}.${sign.slice(0, 9)}\t${sign.slice(9)}`, 'a tab in the signature'],
    [`${head}.${body}.\n${sign}`, 'a line end before the signature'],
    [`${good}\n`, 'a line end behind the token'],
    [`${good} `, 'a space behind the token'],
    [` ${good}`, 'a space before the token'],
    [`${head}.${body}.${sign.slice(0, -1)}`, 'a character less'],
    [`${head}.${body}.${sign.replace(/.$/, '+')}`, 'a character of base64'],
    [`${head}.${body}.${sign.slice(0, 9)}\u00e9${sign.slice(9)}`, 'a character outside ASCII'],
  ]
  for (const [token, why] of table) {
    test(`${why} is malformed, and is verified by nothing`, async () => {
      const authenticate = authenticator([issuerWith([key.jwk])], movableClock())
      assert.notEqual(token, good)
      await assert.rejects(async () => authenticate(token), { code: 'invalid_token', reason: 'malformed' })
    })
  }

  test('and that one is accepted, whatever its length', async () => {
    const authenticate = authenticator([issuerWith([key.jwk])], movableClock())
    for (let length = 0; length < 8; length++)
      await authenticate(mint(key, goodClaims({ jti: 'x'.repeat(length) }), { x: 'y'.repeat(length) }))
  })
})
