import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createAuthority } from '../../../emulator/certificates.ts'
import { contentsOf, extensionIds } from '../../../src/broker/authentication/certificates/contents.ts'
import { valuesIn } from '../../../src/broker/authentication/certificates/der.ts'

const long = (length: number) => Buffer.alloc(length, 0x01)
const header = (...octets: readonly number[]) => Buffer.from(octets)

describe('DER has one reading', () => {
  const good: readonly [bytes: Buffer, values: readonly [tag: number, length: number][], why: string][] = [
    [Buffer.alloc(0), [], 'nothing'],
    [header(0x05, 0x00), [[0x05, 0]], 'an empty value'],
    [
      header(0x02, 0x01, 0x07, 0x30, 0x00),
      [
        [0x02, 1],
        [0x30, 0],
      ],
      'two values',
    ],
    [Buffer.concat([header(0x04, 0x7f), long(0x7f)]), [[0x04, 127]], 'the longest with one octet of length'],
    [Buffer.concat([header(0x04, 0x81, 0x80), long(128)]), [[0x04, 128]], 'the shortest with two'],
    [Buffer.concat([header(0x04, 0x82, 0x01, 0x00), long(256)]), [[0x04, 256]], 'the shortest with three'],
    [Buffer.concat([header(0x04, 0x83, 0x01, 0x00, 0x00), long(65_536)]), [[0x04, 65_536]], 'the shortest with four'],
  ]
  for (const [bytes, values, why] of good)
    test(why, () => {
      const read = valuesIn(bytes).map(({ tag, content }) => [tag, content.length])
      assert.deepEqual(read, values)
    })

  const bad: readonly [bytes: Buffer, why: string][] = [
    [header(0x30), 'no length'],
    [header(0x30, 0x01), 'less content than the length says'],
    [header(0x30, 0x80, 0x00, 0x00), 'an indefinite length, as in BER'],
    [Buffer.concat([header(0x04, 0x81, 0x7f), long(0x7f)]), 'two octets for a length that needs one'],
    [Buffer.concat([header(0x04, 0x82, 0x00, 0x80), long(128)]), 'three octets for a length that needs two'],
    [Buffer.concat([header(0x04, 0x83, 0x00, 0xff, 0xff), long(65_535)]), 'four octets for a length that needs three'],
    [header(0x04, 0x84, 0x00, 0x00, 0x00, 0x00), 'a length of more octets than a certificate can need'],
    [header(0x04, 0x82, 0x01), 'a length that is cut'],
    [header(0x04, 0xff), 'a reserved length'],
    [header(0x1f, 0x81, 0x00, 0x00), 'a tag of several octets'],
    [header(0x05, 0x00, 0x30), 'a second value that is cut'],
  ]
  for (const [bytes, why] of bad) test(`an error: ${why}`, () => assert.throws(() => valuesIn(bytes), /not DER/))
})

test('the extensions of a certificate, and which of them are critical', () => {
  const { certPem } = createAuthority().issue({ names: ['a.example'] })
  const { extensions } = contentsOf(new X509Certificate(certPem))
  const expected = [
    extensionIds.keyUsage,
    extensionIds.extendedKeyUsage,
    extensionIds.subjectAltName,
    '551d0e',
    '551d23',
  ]
  assert.deepEqual([...extensions.keys()], expected)
  const critical = [...extensions].flatMap(([id, { isCritical }]) => (isCritical ? [id] : []))
  assert.deepEqual(critical, [extensionIds.keyUsage])
})

test('something after a certificate is an error', () => {
  const { raw } = new X509Certificate(createAuthority().caPem)
  assert.doesNotThrow(() => contentsOf({ raw }))
  assert.throws(() => contentsOf({ raw: Buffer.concat([raw, raw]) }), /not DER/)
})
