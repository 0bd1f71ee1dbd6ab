import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'

const least: Environment = {
  BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01',
  IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
  IDENTITY_HEADER: 'secret-header',
}

describe('variables that are not read', () => {
  test('cause a warning if they begin with BROKER_: they are misspelt, or of another version', () => {
    const { warnings } = readConfig({
      ...least,
      BROKER_POLICYFILE: 'a',
      BROKER_VAULT_URL: 'https://secret',
      OTHER: 'b',
    })
    assert.deepEqual(warnings, [
      'BROKER_POLICYFILE is not a setting of this version and is ignored (did you mean BROKER_POLICY_FILE?)',
      'BROKER_VAULT_URL is not a setting of this version and is ignored',
    ])
  })
})

describe('variables whose name is a part of the name of a setting, or contains it', () => {
  const rows: readonly [name: string, meant: string | undefined, why: string][] = [
    ['BROKER_POLICY', 'BROKER_POLICY_FILE', 'its beginning'],
    ['TLS_CERT', 'TLS_CERT_FILE', 'without the prefix BROKER_'],
    ['BROKER_DRAIN', 'BROKER_DRAIN_SECONDS', 'one word of it'],
    ['BROKER_POLICY_FILE_PATH', 'BROKER_POLICY_FILE', 'with a word too many'],
    ['BROKER_LOG_LEVEL', 'LOG_LEVEL', 'with a prefix that the setting has not'],
    ['BROKER_PORT', 'PORT', 'the same'],
    ['BROKER_UPSTREAM', 'BROKER_UPSTREAM_TIMEOUT_MS or BROKER_UPSTREAM_CONCURRENCY', 'two of them'],
    ['BROKER_POLIC', undefined, 'a part of a word is no word, and it is too far from any name'],
    ['LOG', undefined, 'of another program: no prefix of the broker'],
    ['POLICY_FILE', undefined, 'of another program too, because the setting is there'],
  ]
  for (const [name, meant, why] of rows)
    test(`${name}: ${meant === undefined ? 'no suggestion' : `did you mean ${meant}?`} (${why})`, () => {
      const [warning = '', ...others] = readConfig({ ...least, [name]: 'x' }).warnings
      assert.deepEqual(others, [])
      if (meant === undefined) assert.doesNotMatch(warning, /did you mean/)
      else assert.ok(warning.endsWith(`(did you mean ${meant}?)`), warning)
    })

  const absent: readonly [name: string, setting: string][] = [
    ['BROKER_POLICY', 'BROKER_POLICY_FILE'],
    ['POLICY_FILE', 'BROKER_POLICY_FILE'],
    ['BROKER_POLICY_FIL', 'BROKER_POLICY_FILE'],
    ['BROKER_IDENTITY_CLIENT', 'BROKER_IDENTITY_CLIENT_ID'],
    ['IDENTITY', 'IDENTITY_ENDPOINT'],
  ]
  for (const [name, setting] of absent)
    test(`${name} instead of ${setting}: the error about the absent variable names both`, () => {
      const errors = configurationErrorsOf({ ...least, [setting]: '', [name]: 'x' })
      const error = errors.find(each => each.startsWith(`${setting}: is required`))
      assert.ok(error?.endsWith(`; ${name} is set, which is not a setting of this version`), String(error))
    })
})

describe('variables whose name is nearly that of a setting', () => {
  const warned: readonly [name: string, meant: string | undefined, why: string][] = [
    ['MANAGMENT_PORT', 'MANAGEMENT_PORT', 'a letter left out, in the prefix'],
    ['BROKR_POLICY_FILE', 'BROKER_POLICY_FILE', 'the same'],
    ['BROKERR_POLICY_FILE', 'BROKER_POLICY_FILE', 'a letter too many'],
    ['BORKER_POLICY_FILE', 'BROKER_POLICY_FILE', 'two letters swapped'],
    ['LOGLEVEL', 'LOG_LEVEL', 'without the underscore'],
    ['LOG_LEVELS', 'LOG_LEVEL', 'with an s'],
    ['TSL_CERT_FILE', 'TLS_CERT_FILE', 'the usual one'],
    ['TLS_CERTFILE', 'TLS_CERT_FILE', 'with the prefix: the warning suggests the name'],
    ['IDENTITY_ENDPONT', 'IDENTITY_ENDPOINT', 'what the platform sets'],
    ['BRKR_POLICYFILE', undefined, 'three edits'],
    ['SSL_CERT_FILE', undefined, "OpenSSL's own: three edits"],
    ['AZURE_CLIENT_ID', undefined, "AKS' own"],
    ['HOME', undefined, 'two edits from HOST, which is too short to compare'],
    ['PORTS', undefined, 'one edit from PORT, which is too short too'],
    ['broker_policy_file', undefined, 'another case is another name'],
    ['', undefined, 'nothing'],
  ]
  for (const [name, meant, why] of warned)
    test(`${name || 'no name'}: ${meant === undefined ? 'no warning' : `did you mean ${meant}?`} (${why})`, () => {
      const expected = `${name} is not a setting of this version and is ignored (did you mean ${meant}?)`
      assert.deepEqual(readConfig({ ...least, [name]: 'x' }).warnings, meant === undefined ? [] : [expected])
    })

  test('cause no warning if they come from a Kubernetes Service', () => {
    assert.deepEqual(readConfig({ ...least, MANAGMENT_PORT: 'tcp://10.0.0.7:80' }).warnings, [])
  })

  test('of two settings the nearer one is suggested', () => {
    const { warnings } = readConfig({ ...least, MANAGEMENT_PORTT: '1' })
    assert.match(warnings.join(), /did you mean MANAGEMENT_PORT\?\)$/)
  })
})
