import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integer, octets, oid, utcTime } from '../../emulator/der.ts'

const rows = [
  ['zero', integer(Uint8Array.of(0)), '020100'],
  ['a positive number whose first bit is set gets a zero', integer(Uint8Array.of(0x80)), '02020080'],
  ['the largest one-byte number', integer(Uint8Array.of(0x7f)), '02017f'],
  ['unnecessary leading zeros are removed', integer(Uint8Array.of(0, 0, 5)), '020105'],
  ['a necessary leading zero is kept', integer(Uint8Array.of(0, 0x80, 1)), '0203008001'],
  ['the longest short length', octets(Buffer.alloc(127)).subarray(0, 2), '047f'],
  ['the shortest length in one byte', octets(Buffer.alloc(128)).subarray(0, 3), '048180'],
  ['the shortest length in two bytes', octets(Buffer.alloc(256)).subarray(0, 4), '04820100'],
  ['an identifier with a long arc', oid('1.2.840.10045.4.3.2'), '06082a8648ce3d040302'],
  ['a time', utcTime(Date.UTC(2026, 10, 22, 10, 0, 7)), `170d${Buffer.from('261122100007Z').toString('hex')}`],
] as const
for (const [why, encoded, hex] of rows)
  test(`DER: ${why}`, () => {
    assert.equal(encoded.toString('hex'), hex)
  })
