import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'

const authority = createAuthority()
const ca = new X509Certificate(authority.caPem)

test('a default leaf is a server certificate for loopback, signed by the authority', () => {
  const leaf = new X509Certificate(authority.issue().certPem)
  assert.ok(ca.ca)
  assert.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca) && !leaf.ca)
  assert.equal(leaf.checkHost('localhost'), 'localhost')
  assert.equal(leaf.checkIP('127.0.0.1'), '127.0.0.1')
  assert.equal(leaf.checkIP('::1'), '::1')
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  const days = (leaf.validToDate.getTime() - Date.now()) / 86_400_000
  assert.ok(days > 6.9 && days <= 7)
})

test('a client certificate can contain a URI and can be expired', () => {
  const options = { commonName: 'caller', names: ['spiffe://example/caller'], usage: 'client', days: -1 } as const
  const leaf = new X509Certificate(authority.issue(options).certPem)
  assert.equal(leaf.subject, 'CN=caller')
  assert.equal(leaf.subjectAltName, 'URI:spiffe://example/caller')
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.2'])
  assert.ok(leaf.validFromDate < leaf.validToDate && leaf.validToDate.getTime() < Date.now())
})

test('an authority does not verify what another one signed', () => {
  const leaf = new X509Certificate(createAuthority().issue().certPem)
  assert.ok(!leaf.verify(ca.publicKey))
})
