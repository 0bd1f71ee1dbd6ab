import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { withDenial, withKey, key, hashOfNothing, placesOf, refuses } from './invalid-world.ts'

describe('errors of denials and keys', () => {
  refuses([
    [withDenial({}), 'deny[0]', 'a denial without any part'],
    [withDenial({ tenants: [] }), 'deny[0].tenants', 'an empty list'],
    [withDenial({ tenants: '*' }), 'deny[0].tenants', 'the plain word: a denial lists its tenants'],
    [withDenial({ tenants: ['*'] }), 'deny[0].tenants[0]', 'a wildcard, which would deny nothing'],
    [withDenial({ tenants: ['nowhere'] }), 'deny[0].tenants[0]', 'a name without an id'],
    [withDenial({ applications: ['nothing'] }), 'deny[0].applications[0]', 'an application that is not listed'],
    [withDenial({ scopes: ['graph'] }), 'deny[0].scopes[0]', 'not .default'],
    [
      withDenial({ scopes: ['https://*.example/.default'] }),
      'deny[0].scopes[0]',
      'a wildcard, which would deny nothing',
    ],
    [withDenial({ callers: [{ issuer: 'missing' }] }), 'deny[0].callers[0].issuer', 'an issuer that is not listed'],
    [withDenial({ rules: [] }), 'deny[0].rules', 'a key that does not exist'],
    [withKey({ ...key, sha256: 'tb_secret' }), 'apiKeys.erp.sha256', 'a key in place of its hash'],
    [withKey({ ...key, expires: '31.01.2027' }), 'apiKeys.erp.expires', 'a date in another form'],
    [withKey({ sha256: key.sha256 }), 'apiKeys.erp.expires', 'a key without an end'],
    [withKey({ ...key, expires: '2027-02-29' }), 'apiKeys.erp.expires', 'a day that the calendar does not have'],
    [withKey({ ...key, sha256: hashOfNothing }), 'apiKeys.erp.sha256', 'the hash of nothing: an unset variable'],
    [withKey({ ...key, next: key }), 'apiKeys.erp.next.sha256', 'a key that replaces itself'],
    [
      withKey({ ...key, next: { sha256: 'ab'.repeat(32), expires: '2027-13-01' } }),
      'apiKeys.erp.next.expires',
      'a 13th month',
    ],
    [withKey({ ...key, next: [key] }), 'apiKeys.erp.next', 'a list of replacements'],
    [{ ...withKey(key), apiKeys: { erp: key, crm: key } }, 'apiKeys.crm.sha256', 'one hash under two names'],
  ])

  test('a denial of a whole issuer is accepted', () => {
    assert.deepEqual(placesOf(withDenial({ callers: [{ issuer: 'onprem' }] })), [])
  })

  test('a key that has expired is no error: a file that is valid on Monday stays valid', () => {
    assert.deepEqual(placesOf(withKey({ ...key, expires: '2020-01-01' })), [])
  })
})
