import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'

const withUrl = (url: string) =>
  readConfig({
    BROKER_POLICY_FILE: '/etc/token-broker/policy.yaml',
    BROKER_IDENTITY_CLIENT_ID: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01',
    IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
    IDENTITY_HEADER: 'secret-header',
    BROKER_PUBLIC_URL: url,
  })

const isErrorOfUrl = (thrown: unknown): boolean => {
  assert.ok(thrown instanceof InvalidConfigurationError)
  assert.deepEqual(
    thrown.errors.map(({ where }) => where),
    ['BROKER_PUBLIC_URL'],
  )
  return true
}

describe('the origin under which clients reach the broker', () => {
  const accepted: readonly [url: string, origin: string, why: string][] = [
    ['https://broker.example', 'https://broker.example', 'an origin'],
    ['https://broker.example/', 'https://broker.example', 'with a slash'],
    ['HTTPS://Broker.Example:443', 'https://broker.example', 'upper case, and the default port'],
    ['https://10.0.0.4:8443', 'https://10.0.0.4:8443', 'an address with a port'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080', 'plain http on loopback'],
    ['http://[::1]:8080', 'http://[::1]:8080', 'plain http on IPv6 loopback'],
  ]
  for (const [url, origin, why] of accepted) {
    test(`${url}: ${why}`, () => assert.equal(withUrl(url).publicUrl, origin))
  }

  const refused: readonly [url: string, why: string][] = [
    ['http://broker.example', 'plain http beyond loopback'],
    ['http://127.0.0.1.example.com', 'a name that begins like loopback'],
    ['https://broker.example/tokens', 'a path'],
    ['https://broker.example?a', 'a query'],
    ['https://broker.example#a', 'a fragment'],
    ['https://user:word@broker.example', 'a password'],
    ['broker.example', 'no scheme'],
    ['tcp://10.0.0.1:80', 'another scheme'],
  ]
  for (const [url, why] of refused) {
    test(`${url} is refused: ${why}`, () => {
      assert.throws(() => withUrl(url), isErrorOfUrl)
    })
  }
})
