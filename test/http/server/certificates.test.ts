import assert from 'node:assert/strict'
import { hash, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createAuthority, type Leaf } from '../../../emulator/certificates.ts'
import { clients, leaf, others, spiffe, start, worker, world } from './certificates-world.ts'

const { emulator } = world

describe('a client certificate authenticates its holder', () => {
  const good: readonly [certificate: Leaf, why: string][] = [
    [worker, 'by a SPIFFE ID'],
    [leaf({ names: ['one.workers.example'] }), 'by a DNS name'],
  ]
  for (const [certificate, why] of good) {
    test(`200: ${why}`, async t => {
      const { requestToken } = await start(t)
      assert.equal((await requestToken(certificate)).status, 200)
    })
  }

  test('200: of an intermediate authority, whose certificate is sent too', async t => {
    const { requestToken } = await start(t)
    const middle = clients.below('middle')
    const { certPem, keyPem } = leaf({}, middle)
    assert.equal((await requestToken({ certPem: `${certPem}${middle.caPem}`, keyPem })).status, 200)
    assert.equal(
      (await requestToken({ certPem, keyPem })).status,
      401,
      'without the intermediate certificate it is refused',
    )
  })

  test('200: of either of two authorities', async t => {
    const { requestToken } = await start(t, `${others.caPem}${clients.caPem}`)
    assert.equal((await requestToken(worker)).status, 200)
    assert.equal((await requestToken(leaf({}, others))).status, 200)
  })

  test('the audit line says who it was: a name and the fingerprint', async t => {
    const { requestToken, broker } = await start(t)
    await requestToken(worker)
    const { caller } = broker.events('token.issued')[0] ?? {}
    assert.partialDeepStrictEqual(caller, { kind: 'certificate', name: spiffe })
    assert.match(JSON.stringify(caller), /"fingerprint":"[0-9a-f]{32}"/)
  })

  const bad: readonly [certificate: Leaf | undefined, status: number, reason: string, why: string][] = [
    [undefined, 401, 'unauthenticated', 'no certificate, and no other credential'],
    [leaf({}, others), 401, 'certificate', 'of another authority'],
    [leaf({}, createAuthority('clients CA')), 401, 'certificate', 'of another authority of the same name'],
    [leaf({ days: -1 }), 401, 'expired', 'expired'],
    [leaf({ from: 1, days: 2 }), 401, 'not_yet_valid', 'not valid yet'],
    [leaf({ isAuthority: true }), 401, 'certificate', 'a CA certificate as leaf'],
    [leaf({ usage: 'server' }), 401, 'certificate', 'for servers'],
    [leaf({ names: ['10.0.0.1'] }), 401, 'certificate', 'without a name'],
    [leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] }), 403, 'no_rule', 'that no rule names'],
    [leaf({ names: ['a.b.workers.example'] }), 403, 'no_rule', '"*" in a DNS name is one label'],
    [leaf({ names: ['workers.example'] }), 403, 'no_rule', '"*" does not match an empty label'],
    [leaf({ commonName: spiffe, names: ['x.example'] }), 403, 'no_rule', 'with the name as common name only'],
    [leaf({ names: [spiffe.replace('billing', 'billing/x')] }), 403, 'no_rule', '"*" does not match a slash'],
  ]
  for (const [certificate, status, reason, why] of bad) {
    test(`${status} ${reason}: ${why}`, async t => {
      const { requestToken, broker } = await start(t)
      const reply = await requestToken(certificate)
      assert.equal(reply.status, status, reply.text)
      const [line] = [...broker.events('caller.refused'), ...broker.events('token.denied')]
      assert.equal(line?.['reason'], reason)
    })
  }
})

describe('one credential counts', () => {
  test('a bearer counts before a certificate: the certificate does not replace a bad one', async t => {
    const { requestToken } = await start(t)
    for (const authorization of ['Bearer nonsense', 'Basic dXNlcjpwYXNz', 'Bearer', '']) {
      assert.equal((await requestToken(worker, { authorization })).status, 401, authorization)
    }
  })

  test('a good bearer token says who the caller is, also over a connection with a bad certificate', async t => {
    const { requestToken, broker } = await start(t)
    const authorization = `Bearer ${await emulator.mintCallerToken()}`
    assert.equal((await requestToken(leaf({}, others), { authorization })).status, 200)
    assert.partialDeepStrictEqual(broker.events('token.issued')[0], { caller: { kind: 'jwt' } })
  })
})

describe('a token that is bound to a certificate (RFC 8705)', () => {
  const thumbprint = ({ certPem }: Leaf): string => hash('sha256', new X509Certificate(certPem).raw, 'base64url')
  const bound = async (cnf: unknown) => `Bearer ${await emulator.mintCallerToken({ cnf })}`

  test('is accepted with that certificate only, also when the caller is remembered', async t => {
    const { requestToken } = await start(t)
    const authorization = await bound({ 'x5t#S256': thumbprint(worker) })
    assert.equal((await requestToken(worker, { authorization })).status, 200)
    assert.equal((await requestToken(worker, { authorization })).status, 200)
    assert.equal((await requestToken(leaf(), { authorization })).status, 401, 'another certificate of the same name')
    assert.equal((await requestToken(undefined, { authorization })).status, 401, 'none')
    assert.equal((await requestToken(worker, { authorization })).status, 200, 'the right certificate again')
  })

  test('is refused with that certificate where the certificate itself is refused', async t => {
    const { requestToken } = await start(t)
    const expired = leaf({ days: -1 })
    const foreign = leaf({}, others)
    for (const certificate of [expired, foreign]) {
      const authorization = await bound({ 'x5t#S256': thumbprint(certificate) })
      assert.equal((await requestToken(certificate, { authorization })).status, 401)
    }
  })

  test('is refused if it is bound to something else, or to more', async t => {
    const { requestToken, broker } = await start(t)
    const right = thumbprint(worker)
    const confirmations = [
      { jkt: 'x' },
      { jwk: {} },
      { kid: 'x' },
      {},
      [],
      'x',
      null,
      { 'x5t#S256': right, jkt: 'x' },
      { 'x5t#S256': `${right}=` },
      { 'x5t#S256': [right] },
      { 'x5t#s256': right },
      { 'x5t#S256': '' },
    ]
    for (const cnf of confirmations) {
      assert.equal((await requestToken(worker, { authorization: await bound(cnf) })).status, 401, JSON.stringify(cnf))
    }
    const reasons = new Set(broker.events('caller.refused').map(line => line['reason']))
    assert.deepEqual(reasons, new Set(['confirmation']))
  })
})
