import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createAuthority, type LeafOptions } from '../../../emulator/certificates.ts'
import {
  type ClientAuthorities,
  createCertificateVerifier,
  type PresentedCertificate,
} from '../../../src/broker/authentication/client-certificates.ts'
import { isTooLarge } from '../../../src/broker/authentication/certificates/strength.ts'
import { BrokerError } from '../../../src/errors.ts'
import { cast, graph, policyOf } from '../../support/callers.ts'
import { ecKey, extensions, forge } from '../../support/forge.ts'
import { movableClock } from '../../support/clock.ts'

const rules = [{ name: 'a', callers: [{ san: 'spiffe://prod.example/*' }], tenants: ['contoso'], scopes: [graph] }]
const policy = policyOf({ ...cast, rules })
const root = createAuthority('clients CA')
/** Of the same name, with another key. */
const impostor = createAuthority('clients CA')
const middle = root.below('middle')
const authoritiesOf = (...pems: readonly string[]): ClientAuthorities => ({
  certificates: pems.map(pem => new X509Certificate(pem)),
})
const known = authoritiesOf(root.caPem)
const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
const client = (options: LeafOptions = {}, by = root): X509Certificate =>
  new X509Certificate(by.issue({ names: [spiffe], usage: 'client', ...options }).certPem)
const day = 86_400_000

/** The same certificate with another name of the same length. */
const changed = ({ raw }: X509Certificate): X509Certificate =>
  new X509Certificate(Buffer.from(raw.toString('latin1').replace('sa/worker', 'sa/master'), 'latin1'))

/** The caller's first name, or the reason of the refusal. */
function verdict(presented: PresentedCertificate, under: ClientAuthorities | undefined = known, clock = now()): string {
  try {
    const caller = createCertificateVerifier(() => under, clock).verify(presented, policy)
    return caller.uris[0] ?? caller.dnsNames[0] ?? ''
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    assert.equal(thrown.code, 'invalid_token')
    return thrown.reason
  }
}
const now = (days = 0) => movableClock(Date.now() + days * day)

describe("a proxy's certificate is verified again", () => {
  const leaf = client()
  const table: readonly [certificate: X509Certificate, expected: string, why: string, under?: ClientAuthorities][] = [
    [leaf, spiffe, 'of a known authority'],
    [client({ names: ['Worker.Example'] }), 'worker.example', 'a DNS name, in lower case'],
    [leaf, spiffe, 'one of several authorities', authoritiesOf(impostor.caPem, root.caPem)],
    [client({}, middle), spiffe, 'of an authority below another, which is listed itself', authoritiesOf(middle.caPem)],
    [client({}, impostor), 'certificate', 'of another authority of the same name'],
    [client({}, createAuthority('other')), 'certificate', 'of another authority'],
    [changed(leaf), 'certificate', 'with a name that was changed after it was signed'],
    [client({}, middle), 'certificate', 'of an authority below a known one: a proxy sends no chain'],
    [leaf, 'certificate', 'no authority at all', authoritiesOf()],
    [client({ days: -1 }), 'expired', 'expired'],
    [client({ from: 1, days: 2 }), 'not_yet_valid', 'not valid yet'],
    [client({ isAuthority: true }), 'certificate', "an authority's"],
    [new X509Certificate(root.caPem), 'certificate', 'the authority itself'],
    [client({ usage: 'server' }), 'certificate', 'for servers'],
    [client({ names: [] }), 'certificate', 'without a name: the subject is none'],
    [client({ names: ['10.0.0.1'] }), 'certificate', 'with an address only'],
    [client({ names: [spiffe, 'spiffe://prod.example/b'] }), 'certificate', 'with two SPIFFE IDs'],
    [client({ names: ['https://a.example/', spiffe] }), 'certificate', 'with a SPIFFE ID and another URI'],
    [client({ names: [spiffe, 'a.example'] }), spiffe, 'with a SPIFFE ID and a DNS name'],
  ]
  for (const [certificate, expected, why, under] of table) {
    test(`${expected}: ${why}`, () => assert.equal(verdict({ certificate }, under), expected))
  }

  test('with certificates that the proxy forwarded with it', () => {
    const [certificate, above] = [client({}, middle), new X509Certificate(middle.caPem)]
    assert.equal(verdict({ certificate, intermediates: [above] }), spiffe)
    assert.equal(verdict({ certificate, intermediates: [] }), 'certificate')
    assert.equal(verdict({ certificate, intermediates: [new X509Certificate(impostor.caPem), above] }), spiffe)
  })

  const moduli: readonly [bits: number, isLarge: boolean][] = [
    [2048, false],
    [8192, false],
    [8193, true],
    [16_384, true],
  ]
  for (const [bits, isLarge] of moduli)
    test(`${isLarge ? 'a key that takes long to verify' : 'a key that does not take long'}: RSA of ${bits} bits`, () => {
      const octets = Math.ceil(bits / 8)
      const modulus = Buffer.alloc(octets, 0xff).fill(2 ** (((bits - 1) % 8) + 1) - 1, 0, 1)
      const jwk = { kty: 'RSA', e: 'AQAB', n: modulus.toString('base64url') }
      assert.equal(isTooLarge(createPublicKey({ key: jwk, format: 'jwk' })), isLarge)
    })

  test('without authorities, every certificate is refused', () => {
    const certificates = createCertificateVerifier(() => undefined, now())
    assert.throws(() => certificates.verify({ certificate: leaf }, policy), { code: 'invalid_token' })
  })
})

describe('the result of the handshake counts, as long as its authorities are current', () => {
  const older = authoritiesOf(root.caPem)
  const table: readonly [presented: PresentedCertificate, expected: string, why: string][] = [
    [
      { certificate: client({}, middle), handshake: { authorities: known, error: undefined } },
      spiffe,
      'verified by TLS',
    ],
    [
      { certificate: client(), handshake: { authorities: older, error: undefined } },
      spiffe,
      'under older authorities: verified again',
    ],
    [
      { certificate: client({}, impostor), handshake: { authorities: older, error: undefined } },
      'certificate',
      'under older authorities, one of which was removed',
    ],
    [
      { certificate: client(), handshake: { authorities: known, error: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' } },
      'certificate',
      'refused by TLS',
    ],
    [
      { certificate: client(), handshake: { authorities: older, error: 'INVALID_PURPOSE' } },
      'certificate',
      'the same, older',
    ],
    [
      { certificate: client(), handshake: { authorities: known, error: 'CERT_HAS_EXPIRED' } },
      'expired',
      'one above expired',
    ],
    [
      { certificate: client(), handshake: { authorities: known, error: 'CERT_NOT_YET_VALID' } },
      'not_yet_valid',
      'one above not valid yet',
    ],
    [
      { certificate: client({ isAuthority: true }), handshake: { authorities: known, error: undefined } },
      'certificate',
      "an authority's is still refused",
    ],
  ]
  for (const [presented, expected, why] of table) {
    test(`${expected}: ${why}`, () => assert.equal(verdict(presented), expected))
  }
})

describe('what is cached of a certificate', () => {
  test('the same caller, while nothing changes', () => {
    const certificates = createCertificateVerifier(() => known, now())
    const certificate = client()
    const caller = certificates.verify({ certificate }, policy)
    assert.equal(certificates.verify({ certificate }, policy), caller)
    assert.equal(certificates.verify({ certificate: new X509Certificate(certificate.raw) }, policy), caller)
    assert.deepEqual([caller.kind, caller.id, caller.uris], ['certificate', `certificate ${spiffe}`, [spiffe]])
    assert.match(caller.fingerprint, /^[0-9a-f]{64}$/)
    assert.ok(Object.isFrozen(caller))
  })

  test('another caller under another policy, with that policy', () => {
    const certificates = createCertificateVerifier(() => known, now())
    const certificate = client()
    const other = policyOf({ ...cast, rules })
    assert.equal(certificates.verify({ certificate }, policy).policy, policy)
    assert.equal(certificates.verify({ certificate }, other).policy, other)
  })

  test('not its dates: they are checked each time', () => {
    const clock = now()
    const certificates = createCertificateVerifier(() => known, clock)
    const certificate = client({ days: 1 })
    certificates.verify({ certificate }, policy)
    clock.advance(certificate.validToDate.getTime() - clock.now())
    certificates.verify({ certificate }, policy)
    clock.advance(1)
    assert.throws(() => certificates.verify({ certificate }, policy), { reason: 'expired' })
  })

  test('not the dates of the authority either', () => {
    const clock = now()
    const certificates = createCertificateVerifier(() => known, clock)
    // Longer than the seven days of its authority.
    const certificate = client({ days: 30 })
    certificates.verify({ certificate }, policy)
    clock.advance(8 * day)
    assert.throws(() => certificates.verify({ certificate }, policy), { reason: 'expired' })
    assert.equal(verdict({ certificate }, known, clock), 'expired')
  })

  test('not that one above it has expired: it may come with a new one', () => {
    const clock = now()
    const key = ecKey()
    const top = forge({ name: 'top', extensions: [extensions.authority()], days: 30 })
    const under = { certificates: [top.certificate] }
    const above = (days: number) =>
      forge({ name: 'middle', issuer: top, key, extensions: [extensions.authority()], days })
    const { certificate } = forge({ issuer: above(1), extensions: [extensions.names(spiffe)], days: 30 })
    const certificates = createCertificateVerifier(() => under, clock)
    const verify = (days: number) =>
      certificates.verify({ certificate, intermediates: [above(days).certificate] }, policy)
    verify(1)
    clock.advance(2 * day)
    assert.throws(() => verify(1), { reason: 'expired' })
    verify(10)
    verify(1)
  })

  test('nothing once its authority is gone', () => {
    let under = known
    const certificates = createCertificateVerifier(() => under, now())
    const certificate = client()
    certificates.verify({ certificate }, policy)
    under = authoritiesOf(impostor.caPem)
    assert.throws(() => certificates.verify({ certificate }, policy), { code: 'invalid_token' })
  })

  test('not for the handshake: a certificate that a proxy sent does not replace one that TLS refused', () => {
    const certificates = createCertificateVerifier(() => known, now())
    const certificate = client()
    certificates.verify({ certificate }, policy)
    const handshake = { authorities: known, error: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }
    assert.throws(() => certificates.verify({ certificate, handshake }, policy), { code: 'invalid_token' })
  })
})
