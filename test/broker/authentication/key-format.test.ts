import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { isKey, hashKey, encodeKey } from '../../../src/broker/authentication/api-keys.ts'

const zeros = encodeKey(Buffer.alloc(32))

describe('a new key', () => {
  test('consists of the random bytes and a CRC-32 of what precedes it', () => {
    // python3 -c "import zlib,base64; b='tb_'+'A'*43; print(base64.urlsafe_b64encode(zlib.crc32(b.encode()).to_bytes(4)))"
    assert.equal(zeros, `tb_${'A'.repeat(43)}gla8sA`)
    assert.equal(encodeKey(Buffer.alloc(32, 0xff)).slice(0, 46), `tb_${'_'.repeat(42)}8`)
  })

  test('is hashed whole, as sha256sum does', () => {
    // printf %s "$KEY" | sha256sum
    assert.equal(hashKey('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  test('passes the check, and matches the expression that scanners use', () => {
    for (let nth = 0; nth < 200; nth++) {
      const key = encodeKey(randomBytes(32))
      assert.match(key, /^tb_[A-Za-z0-9_-]{49}$/)
      assert.ok(isKey(key))
    }
  })

  const table: readonly [text: string, why: string][] = [
    ['', 'nothing'],
    ['tb_', 'the prefix'],
    [zeros.slice(0, -1), 'one character less'],
    [`${zeros}A`, 'one character more'],
    [zeros.replace('tb_', 'TB_'), 'another prefix'],
    [zeros.replace('A', 'B'), 'a changed key under the old checksum'],
    [`${zeros.slice(0, -1)}${zeros.endsWith('A') ? 'B' : 'A'}`, 'a changed checksum'],
    [`tb_${'A'.repeat(49)}`, 'any text of that length'],
    [` ${zeros}`, 'a space before it'],
    [`${zeros}\n`, 'a newline behind it'],
  ]
  for (const [text, why] of table) test(`is not: ${why}`, () => assert.equal(isKey(text), false))
})
