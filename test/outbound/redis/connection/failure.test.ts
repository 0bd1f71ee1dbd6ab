import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StoreFailure } from '../../../../src/broker/tokens/second-level.ts'
import { BrokerError } from '../../../../src/errors.ts'
import { failureOf } from '../../../../src/outbound/redis/connection/failure.ts'

const withCode = (code: string, message = 'x') => Object.assign(new Error(message), { code })

describe('the kind of a failure of Redis', () => {
  const rows: readonly (readonly [thrown: unknown, kind: StoreFailure, why: string])[] = [
    [withCode('ECONNREFUSED'), 'refused', 'nothing listens'],
    [new AggregateError([withCode('ECONNREFUSED'), withCode('EHOSTUNREACH')]), 'refused', 'a name with two addresses'],
    [new AggregateError([]), 'other', 'without errors'],
    [withCode('ETIMEDOUT'), 'timeout', 'packets are dropped'],
    [new Error('Connection timeout'), 'timeout', 'the client library'],
    [new Error('it did not respond within 4 s'), 'timeout', 'client.ts'],
    [new Error('it does not respond: there was no response within 3000 ms'), 'timeout', 'link.ts'],
    [withCode('ENOTFOUND', 'getaddrinfo ENOTFOUND redis.example'), 'name', 'no address'],
    [withCode('EAI_AGAIN'), 'name', 'no DNS server'],
    [withCode('ERR_TLS_CERT_ALTNAME_INVALID'), 'tls', 'another name'],
    [withCode('DEPTH_ZERO_SELF_SIGNED_CERT'), 'tls', 'self-signed'],
    [withCode('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'tls', 'another authority'],
    [withCode('CERT_HAS_EXPIRED'), 'tls', 'expired'],
    [withCode('ERR_SSL_WRONG_VERSION_NUMBER'), 'tls', 'TLS to a plain port'],
    [new Error('WRONGPASS invalid username-password pair'), 'credential', 'a wrong password'],
    [new Error('NOAUTH Authentication required.'), 'credential', 'no password'],
    [
      new BrokerError('identity_unavailable', 'no response', { reason: 'network' }),
      'credential',
      'no token of the managed identity',
    ],
    [withCode('ECONNRESET'), 'closed', 'reset'],
    [new Error('the connection was closed'), 'closed', 'client.ts'],
    [new Error('LOADING Redis is loading the dataset in memory'), 'other', 'another error reply'],
    ['a text', 'other', 'no error'],
    [undefined, 'other', 'nothing'],
  ]
  for (const [thrown, kind, why] of rows) test(`${kind}: ${why}`, () => assert.equal(failureOf(thrown), kind))
})
