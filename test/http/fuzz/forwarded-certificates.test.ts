import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { createCertificateVerifier } from '../../../src/broker/authentication/client-certificates.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  type ForwardedCertificate,
  readClientCert,
  readXfcc,
} from '../../../src/http/server/peers/forwarded-certificate.ts'
import { cast, graph, policyOf } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { extensions, forge } from '../../support/forge.ts'
import { runs } from '../../support/runs.ts'

const spiffe = 'spiffe://prod.example/a'
const policy = policyOf({
  ...cast,
  rules: [{ name: 'a', callers: [{ san: spiffe }], tenants: ['contoso'], scopes: [graph] }],
})
const root = forge({ name: 'root', extensions: [extensions.authority(), extensions.keyUsage(0x06, 1)] })
const middle = forge({
  name: 'middle',
  issuer: root,
  extensions: [extensions.authority(0), extensions.keyUsage(0x06, 1)],
})
const leaf = forge({ issuer: middle, extensions: [extensions.names(spiffe), extensions.keyUsage(0x80, 7)] })
const authorities = { certificates: [root.certificate] }

/** The caller's name; `undefined` if it is refused. Any other error than a refusal fails the test. */
function callerOf(read: () => ForwardedCertificate): string | undefined {
  try {
    // A new one each time: nothing is cached.
    return createCertificateVerifier(() => authorities, movableClock(Date.now())).verify(read(), policy).uris[0]
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError, String(thrown))
    assert.equal(thrown.code, 'invalid_token')
    return undefined
  }
}

const changes = fc.array(fc.record({ at: fc.nat(), octet: fc.integer({ min: 1, max: 255 }) }), {
  minLength: 1,
  maxLength: 4,
})
type Changes = readonly { readonly at: number; readonly octet: number }[]

/** A certificate with some octets changed. */
function changed({ raw }: X509Certificate, list: Changes): Buffer {
  const bytes = Buffer.from(raw)
  for (const { at, octet } of list) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ octet
  return bytes
}
const item = (bytes: Buffer): string => `:${bytes.toString('base64')}:`

test('no certificate is accepted of which an octet was changed, its own or that of the authority above it', () => {
  assert.equal(
    callerOf(() => readClientCert(item(leaf.certificate.raw), item(middle.certificate.raw))),
    spiffe,
  )
  const property = fc.property(changes, fc.boolean(), (list, isLeaf) => {
    const [own, above] = isLeaf
      ? [changed(leaf.certificate, list), middle.certificate.raw]
      : [leaf.certificate.raw, changed(middle.certificate, list)]
    const isSame = own.equals(leaf.certificate.raw) && above.equals(middle.certificate.raw)
    assert.equal(
      callerOf(() => readClientCert(item(own), item(above))),
      isSame ? spiffe : undefined,
    )
  })
  fc.assert(property, { numRuns: runs(1_000) })
})

test('any text in the headers is read or refused', () => {
  const pem = encodeURIComponent(leaf.certPem)
  const part = fc.oneof(
    fc.constantFrom('Cert=', 'Chain=', 'Hash=', 'URI=', '"', '\\', ';', ',', ':', '=', '%', '%0A', pem, `"${pem}"`),
    fc.constant(item(leaf.certificate.raw)),
    fc.string({ unit: 'binary-ascii', maxLength: 20 }),
  )
  const header = fc.array(part, { maxLength: 12 }).map(parts => parts.join(''))
  const property = fc.property(header, header, (text, chain) => {
    callerOf(() => readXfcc(text))
    callerOf(() => readClientCert(text, chain))
  })
  fc.assert(property, { numRuns: runs(1_000) })
})
