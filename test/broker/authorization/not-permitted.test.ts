import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { operationNotPermitted, tokenNotPermitted } from '../../../src/broker/authorization/not-permitted.ts'
import type { CallerFacts } from '../../../src/broker/policy/caller-facts.ts'
import { tokenRequest } from '../../support/callers.ts'

const jwt = (subject: string, claims: Readonly<Record<string, unknown>> = {}): CallerFacts => ({
  kind: 'jwt',
  issuer: 'onprem',
  subject,
  claims,
})
const certificate = (uris: readonly string[], dnsNames: readonly string[] = []): CallerFacts => ({
  kind: 'certificate',
  uris,
  dnsNames,
  fingerprint: 'ab'.repeat(32),
})
const apiKey = `tb_${'A'.repeat(49)}`
const token = `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.${'a'.repeat(40)}`
const uris = ['spiffe://a/1', 'spiffe://a/2', 'spiffe://a/3', 'spiffe://a/4', 'spiffe://a/5']

const table: readonly (readonly [caller: CallerFacts, shown: string, why: string])[] = [
  [jwt('worker'), 'the subject "worker" of the issuer "onprem"', 'a token of any issuer'],
  [jwt('a', { azp: 'b' }), 'the subject "a" of the issuer "onprem", client id "b"', 'a v2.0 token of Entra'],
  [jwt('a', { appid: 'c' }), 'the subject "a" of the issuer "onprem", client id "c"', 'a v1.0 token of Entra'],
  [jwt('a', { azp: 7 }), 'the subject "a" of the issuer "onprem"', 'a client id that is no text'],
  [jwt('a "b" \\ c'), String.raw`the subject "a \"b\" \\ c" of the issuer "onprem"`, 'quotes end no value'],
  [jwt('a\u202Eb\u0007\u2028'), String.raw`"a\u202eb\u0007\u2028"`, 'controls are shown, not obeyed'],
  [jwt('\u{E0041}b'), String.raw`"\udb40\udc41b"`, 'an invisible character beyond 16 bits'],
  [jwt('\uD800b'), String.raw`"\ud800b"`, 'half a character'],
  [jwt('müller'), '"müller"', 'letters of any language are no controls'],
  [jwt(`x ${token}`), '"x [redacted jwt]"', 'no JWT'],
  [jwt(`x ${apiKey}`), '"x [redacted key]"', 'no API key'],
  [jwt('s'.repeat(300)), `"${'s'.repeat(256)}" (shortened) of`, 'a long subject'],
  [jwt('\u202E'.repeat(256)), `"${String.raw`\u202e`.repeat(42)}" (shortened) of`, 'a subject that is long by escapes'],
  [jwt(`${'s'.repeat(250)} ${apiKey}`), 's [reda" (shortened)', 'a credential that the cut would divide'],
  [{ kind: 'apiKey', key: 'erp', expires: '2027-01-31' }, 'as the API key "erp".', 'an API key, by its name'],
  [{ kind: 'secret' }, "as the holder of the agent's local secret.", "an agent's caller"],
  [certificate(['spiffe://a/b']), 'a client certificate with the SAN "spiffe://a/b".', 'a certificate'],
  [certificate(['https://a'], ['b.example']), 'the SAN "https://a", "b.example".', 'a URI and a DNS name'],
  [certificate(uris), 'SAN "spiffe://a/1", "spiffe://a/2", "spiffe://a/3" and 2 more.', 'a certificate of many names'],
]

describe('a refusal says as whom the caller was recognised', () => {
  for (const [caller, shown, why] of table)
    test(`${why}: ${shown.slice(0, 60)}`, () => {
      const errors = [
        tokenNotPermitted(caller, tokenRequest(), 'no_rule'),
        operationNotPermitted(caller, 'purge', 'denied'),
      ]
      for (const { message } of errors) assert.ok(message.includes(shown), message)
    })
})

test('the longest refusal is bounded, and an agent forwards it whole', () => {
  const long = { azp: '\u202E'.repeat(5000) }
  const request = tokenRequest({
    tenant: 'a'.repeat(63),
    scope: `${'b'.repeat(480)}/.default`,
    application: 'c'.repeat(63),
  })
  for (const caller of [
    jwt('\u202E'.repeat(5000), long),
    certificate(Array.from({ length: 900 }, () => 'd'.repeat(500))),
  ]) {
    const { message } = tokenNotPermitted(caller, request, 'no_rule')
    assert.ok(message.includes('b'.repeat(480)), 'the whole scope')
    assert.ok(message.length < 2000, String(message.length))
  }
})
