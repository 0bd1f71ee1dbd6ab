import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeKey } from '../../../../src/broker/authentication/api-keys.ts'
import { hasCredential, redactCredentials } from '../../../../src/broker/lib/text/credential-shapes.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
const key = encodeKey(Buffer.alloc(32, 250))

const rows: readonly (readonly [what: string, text: string, clean: string])[] = [
  ['a JWT', jwt, '[redacted jwt]'],
  ['a JWT directly after a word', `x${jwt} y`, 'x[redacted jwt] y'],
  ['a JWT after another first part', `eyJ.${jwt}`, 'eyJ.[redacted jwt]'],
  ['a JWT without a signature', 'eyJhIjoxfQ.e30.', '[redacted jwt]'],
  ['a JWE, with an empty key', 'eyJhIjoxfQ..iv.text.tag', '[redacted jwt]'],
  ['a key', `(${key})`, '([redacted key])'],
  ['a key without its checksum', key.slice(0, -6), '[redacted key]'],
  ['both', `${jwt} ${key}`, '[redacted jwt] [redacted key]'],
  ['a branch that begins like a JWT', 'ref:refs/heads/eyJohnathan', 'ref:refs/heads/eyJohnathan'],
  ['two parts', 'eyJohnathan.branch', 'eyJohnathan.branch'],
  ['a first part that is too short for a header', 'eyJohn.a.b', 'eyJohn.a.b'],
  ['what only begins like a key', 'tb_short tb_', 'tb_short tb_'],
  ['nothing of the kind', 'policy.yaml', 'policy.yaml'],
]
for (const [what, text, clean] of rows)
  test(`redacted: ${what}`, () => {
    assert.equal(redactCredentials(text), clean)
    assert.equal(hasCredential(text), clean !== text)
  })

for (const [what, text] of Object.entries({
  starts: 'eyJ'.repeat(400_000),
  'short parts': 'eyJ.'.repeat(300_000),
  'long parts': `${'eyJ'.repeat(300_000)}.x`,
  'key prefixes': 'tb_'.repeat(8) + ' tb_'.repeat(300_000),
}))
  test(`takes linear time on 1 MB of ${what}`, () => {
    const start = performance.now()
    redactCredentials(text)
    assert.ok(performance.now() - start < 1000)
  })
