import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, type TestContext, test } from 'node:test'
import { chainOf, maxChainLength, maxVerifications } from '../../../src/broker/authentication/certificates/chain.ts'
import { extensions, forge, type Forged } from '../../support/forge.ts'

const authority = (name: string, issuer?: Forged, key = generateKeyPairSync('ec', { namedCurve: 'P-256' })) =>
  forge({ name, issuer, key, extensions: [extensions.authority()] })
const leafOf = (issuer: Forged) => forge({ issuer, extensions: [extensions.names('spiffe://prod.example/a')] })
const certificatesOf = (all: readonly Forged[]) => all.map(({ certificate }) => certificate)
const chain = (leaf: Forged, intermediates: readonly Forged[], authorities: readonly Forged[]) =>
  chainOf(leaf.certificate, certificatesOf(intermediates), certificatesOf(authorities), Date.now())

/** Counts the signatures that are verified from here on. */
function countVerifications(t: TestContext): () => number {
  const { mock } = t.mock.method(X509Certificate.prototype, 'verify')
  return () => mock.callCount()
}

/** Two authorities of one name that certify each other, behind others of the same name: each step tries nearly all of them. */
function maze(count: number) {
  const slow = () => generateKeyPairSync('ec', { namedCurve: 'P-521' })
  const [keyA, keyB] = [slow(), slow()]
  const [signerA, signerB] = [authority('N', undefined, keyA), authority('N', undefined, keyB)]
  const a = authority('N', signerB, keyA)
  const b = authority('N', signerA, keyB)
  const strangers = Array.from({ length: count - 2 }, () => authority('N', undefined, slow()))
  return { leaf: leafOf(a), intermediates: [...strangers, b, a] }
}

describe('a forwarded chain', () => {
  const root = authority('root')

  test('of seven P-521 intermediates with one name costs a limited number of signatures, and is refused', t => {
    const { leaf, intermediates } = maze(maxChainLength - 1)
    const verifications = countVerifications(t)
    assert.equal(chain(leaf, intermediates, [root]), undefined)
    assert.ok(verifications() > maxChainLength, 'the attack takes more than an honest chain')
    assert.ok(verifications() <= maxVerifications, `${verifications()}`)
  })

  test('below authorities of the same name costs no more: they count too', t => {
    const { leaf, intermediates } = maze(maxChainLength - 1)
    const verifications = countVerifications(t)
    assert.equal(
      chain(
        leaf,
        intermediates,
        Array.from({ length: 40 }, () => authority('N')),
      ),
      undefined,
    )
    assert.equal(verifications(), maxVerifications)
  })

  test('that uses up the limit before its upper authorities are checked is refused, and not accepted without them', t => {
    const upper = authority('N')
    const trusted = authority('N', upper)
    const other = authority('N', trusted)
    const strangers = Array.from({ length: 40 }, () => authority('N'))
    const leaf = leafOf(other)
    const verifications = countVerifications(t)
    const authorities = [trusted, ...strangers, upper]
    assert.equal(chain(leaf, [other], authorities), undefined)
    assert.equal(chain(leafOf(trusted), [], authorities), undefined)
    assert.equal(verifications(), 2 * maxVerifications)
  })

  test('of the greatest length is accepted: each step has one issuer', t => {
    const all = Array.from({ length: maxChainLength - 2 }).reduce<Forged[]>(
      above => [authority(`A${above.length}`, above[0] ?? root), ...above],
      [],
    )
    const verifications = countVerifications(t)
    const [lowest = root] = all
    assert.equal(chain(leafOf(lowest), all, [root])?.length, maxChainLength)
    // One more for the root itself, which is the last.
    assert.ok(verifications() <= maxChainLength)
  })

  test('below one of eight authorities that replaced each other under one name is accepted', () => {
    const renewed = Array.from({ length: 8 }, () => authority('clients'))
    for (const issuer of renewed) assert.equal(chain(leafOf(issuer), [], renewed)?.length, 2)
  })
})
