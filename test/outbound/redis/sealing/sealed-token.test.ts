import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { createSealer, type PurgeMark, type TokenRecord } from '../../../../src/outbound/redis/sealing/sealed-token.ts'
import { cacheKeyLine, ringOf } from '../../../support/cache-keys.ts'
import { noon } from '../../../support/clock.ts'

const [old, next, foreign] = [cacheKeyLine('old'), cacheKeyLine('next'), cacheKeyLine('old')]
const ring = ringOf(old)
const sealer = createSealer(() => ring)
const target = { key: 'client tenant https://graph.example/.default' }
const token: TokenRecord = {
  token: `eyJ.${'a'.repeat(1700)}.sig`,
  issuedAt: noon,
  expiresIn: 3599.5,
  expiresAt: noon + 3_600_000,
  refreshAt: noon + 2_700_000,
  traceId: 'trace',
  correlationId: 'correlation',
}
const mark: PurgeMark = { epoch: 'a1', sequence: 46 }

function sealed(by = sealer, what = token): Buffer {
  const value = by.seal(target, what, mark)
  assert.ok(value)
  return value
}

describe('what is sealed opens again, for the same target only', () => {
  const { traceId: _trace, correlationId: _correlation, expiresAt: _exp, ...least } = token
  for (const [what, record] of Object.entries({ 'all fields': token, 'required fields only': least }))
    test(what, () => {
      assert.deepEqual(sealer.open(target, sealed(sealer, record)), { token: record, mark })
    })

  test('other fields of the object are not shared', () => {
    const more = { ...token, refreshIn: 5, caller: 'alice' }
    assert.deepEqual(sealer.open(target, sealed(sealer, more))?.token, token)
  })

  for (const [what, key] of [
    ['another tenant', 'client tenant2 https://graph.example/.default'],
    ['another scope', 'client tenant https://graph.example/other'],
    ['a longer key', `${target.key} `],
    ['no key', ''],
  ] as const)
    test(`${what}: replayed there, it does not open`, () => {
      assert.equal(sealer.open({ key }, sealed()), undefined)
    })
})

describe('a reader of Redis', () => {
  test('sees neither the token nor its key, times or ids; two values of one token have nothing in common but the kid', () => {
    const values = [sealed(), sealed()].map(value => value.toString('latin1'))
    for (const value of values)
      for (const text of [token.token.slice(0, 12), 'client', 'tenant', 'graph', 'trace', 'issuedAt', String(noon)])
        assert.ok(!value.includes(text), text)
    assert.notEqual(values[0]?.slice(6, 18), values[1]?.slice(6, 18), 'a nonce is never used twice')
  })

  test('sees a name from which the key cannot be derived, and which is another one under another key', () => {
    const names = createSealer(() => ringOf(next, old)).names(target)
    assert.deepEqual(names.slice(1), sealer.names(target))
    assert.equal(new Set([...names, ...createSealer(() => ringOf(foreign)).names(target)]).size, 3)
    assert.ok(names.every(name => /^[\w-]{43}$/.test(name)))
    assert.notDeepEqual(sealer.names({ key: 'client tenant https://graph.example/.defaul' }), sealer.names(target))
  })
})

describe('the key ring rotates', () => {
  test('a value under an older key of the ring opens, and new ones are under the first', () => {
    const rotated = createSealer(() => ringOf(next, old))
    assert.deepEqual(rotated.open(target, sealed())?.token, token)
    assert.equal(sealer.open(target, sealed(rotated)), undefined)
    assert.deepEqual(createSealer(() => ringOf(next)).open(target, sealed(rotated))?.token, token)
  })

  test('the ring is read for each value, so that a change needs no restart', () => {
    let current = ringOf(old)
    const following = createSealer(() => current)
    const value = sealed(following)
    current = ringOf(next)
    assert.equal(following.open(target, value), undefined)
    assert.equal(following.names(target).length, 1)
    current = ringOf(next, old)
    assert.deepEqual(following.open(target, value)?.mark, mark)
  })

  test('another key under the same id opens nothing', () => {
    assert.equal(createSealer(() => ringOf(foreign)).open(target, sealed()), undefined)
  })
})

describe('a value that was not sealed for this target is unreadable, and never an exception', () => {
  const value = sealed()
  const rows: readonly (readonly [what: string, bytes: Buffer])[] = [
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from([1])],
    ['the header alone', value.subarray(0, 18)],
    ['the header and a tag', value.subarray(0, 34)],
    ['cut by one byte', value.subarray(0, -1)],
    ['one byte more', Buffer.concat([value, Buffer.alloc(1)])],
    ['of another version', Buffer.concat([Buffer.from([2]), value.subarray(1)])],
    ['of another kind', Buffer.concat([value.subarray(0, 1), Buffer.from([2]), value.subarray(2)])],
    ['with an empty kid', Buffer.concat([Buffer.from([1, 1, 0]), value.subarray(6)])],
    ['with a kid that is longer than the value', Buffer.from([1, 1, 255, 1])],
    ['10 MB', Buffer.concat([value, Buffer.alloc(10_000_000)])],
    ['10 MB of random bytes', randomBytes(10_000_000)],
    ['JSON', Buffer.from(JSON.stringify({ token, mark }))],
  ]
  for (const [what, bytes] of rows)
    test(what, () => {
      assert.equal(sealer.open(target, bytes), undefined)
    })

  test('70,000 bytes that a replica with the key has sealed', () => {
    const header = Buffer.concat([value.subarray(0, 6), randomBytes(12)])
    const cipher = createCipheriv('aes-256-gcm', ring.keys[0].sealing, header.subarray(6))
    cipher.setAAD(Buffer.concat([header, Buffer.from(target.key)]))
    const content = cipher.update(JSON.stringify({ token: { ...token, more: 'x'.repeat(70_000) }, mark }))
    assert.equal(sealer.open(target, Buffer.concat([header, content, cipher.final(), cipher.getAuthTag()])), undefined)
  })

  test('any bit that is flipped', () => {
    fc.assert(
      fc.property(fc.nat(value.length * 8 - 1), bit => {
        const forged = Buffer.from(value)
        forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        assert.equal(sealer.open(target, forged), undefined)
      }),
    )
  })

  test('any bytes, also after a valid beginning', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.uint8Array({ maxLength: 200 }), (length, bytes) => {
        assert.equal(sealer.open(target, Buffer.concat([value.subarray(0, length), bytes])), undefined)
      }),
    )
  })
})

describe('a replica with the key that seals something else', () => {
  const rows: readonly (readonly [what: string, record: unknown, mark: unknown])[] = [
    ['no token', { ...token, token: undefined }, mark],
    ['a token that would break a header', { ...token, token: 'a\r\nb' }, mark],
    ['no beginning', { ...token, issuedAt: undefined }, mark],
    ['a life that is a text', { ...token, expiresIn: '3600' }, mark],
    ['a life of 0', { ...token, expiresIn: 0 }, mark],
    ['a life of more than a week', { ...token, expiresIn: 604_801 }, mark],
    ['an end that is no number', { ...token, expiresAt: null }, mark],
    ['no moment of refresh', { ...token, refreshAt: null }, mark],
    ['an id that is no text', { ...token, traceId: 5 }, mark],
    ['no mark', token, undefined],
    ['a sequence below 0', token, { ...mark, sequence: -1 }],
    ['a sequence that is not whole', token, { ...mark, sequence: 0.5 }],
    ['a sequence of 2^53', token, { ...mark, sequence: 2 ** 53 }],
    ['an epoch of 65 characters', token, { ...mark, epoch: 'e'.repeat(65) }],
  ]
  for (const [what, record, of] of rows)
    test(`${what} is unreadable`, () => {
      const value = sealer.seal(target, record as TokenRecord, of as PurgeMark)
      assert.ok(value)
      assert.equal(sealer.open(target, value), undefined)
    })
})

test('a value has 64 KiB at most: a larger token is not shared', () => {
  const overhead = sealed().length - token.token.length
  const largest = { ...token, token: 'a'.repeat(65_536 - overhead) }
  assert.deepEqual(sealer.open(target, sealed(sealer, largest))?.token, largest)
  assert.equal(sealer.seal(target, { ...largest, token: `${largest.token}a` }, mark), undefined)
})
