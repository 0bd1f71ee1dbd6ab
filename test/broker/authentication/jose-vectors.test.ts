import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { calculateJwkThumbprint, compactVerify, type JWK } from 'jose'
import { algorithms } from '../../../src/broker/authentication/jwt.ts'
import { fixedJwks, parseJwks } from '../../../src/broker/authentication/jwks.ts'
import { BrokerError } from '../../../src/errors.ts'
import {
  authenticator,
  encode,
  entraIssuer,
  goodClaims,
  issuerWith,
  type Json,
  makeKey,
  mint,
} from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

/** Data of others, each with its source. */
const vectors = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../../vectors/${name}.json`), 'utf8'))

interface JwsVector {
  readonly name: string
  readonly source: string
  readonly keys: readonly JWK[]
  readonly jws: string
  /** `good`, or the reason for which the broker refuses it. */
  readonly signature: string
}

interface JwksVector {
  readonly name: string
  readonly source: string
  readonly jwks: { readonly keys: readonly JWK[] }
  /** The key ids that may sign. */
  readonly usable: readonly string[]
  /** RFC 7638. */
  readonly thumbprints?: Readonly<Record<string, string>>
}

interface Threat {
  readonly source: string
  readonly threat: string
  readonly issuer?: 'entra'
  readonly header?: Json
  readonly claims?: Json
  readonly omit?: readonly string[]
  readonly signature?: 'none' | 'hmac under the public key' | "a foreign key's"
  readonly expected: string
}

const signatures = vectors('jws') as readonly JwsVector[]
const keySets = vectors('jwks') as readonly JwksVector[]
const threats = vectors('jwt-bcp') as readonly Threat[]

/** Why a token is refused, by an issuer of this name with these keys. */
async function refusal(token: string, keys: readonly JWK[], iss = 'joe'): Promise<string> {
  const known = [issuerWith(fixedJwks(parseJwks({ keys })), { name: 'joe', issuer: iss })]
  try {
    await authenticator(known, movableClock())(token)
    return 'none'
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError)
    assert.equal(thrown.code, 'invalid_token')
    return thrown.reason
  }
}

describe('JSON Web Signatures of the standards', () => {
  for (const { name, source, keys, jws, signature } of signatures) {
    const [, payload = '', sign = ''] = jws.split('.')
    const isJwt = payload.startsWith('eyJ')

    test(`${name} (${source}): ${signature}`, async () => {
      const verified = compactVerify(jws, parseJwks({ keys }).find, { algorithms })
      if (signature === 'good') await verified
      else await assert.rejects(verified)
      // What has another audience is refused before its signature is verified, for which it would have to wait.
      if (isJwt) assert.equal(await refusal(jws, keys), signature === 'good' ? 'audience' : signature)
      else assert.equal(await refusal(jws, keys), 'malformed')
    })

    if (signature !== 'good') continue
    test(`${name}: not with any other signature`, async () => {
      for (const at of [0, Math.floor(sign.length / 2), sign.length - 3]) {
        const other = sign.slice(0, at) + (sign[at] === 'A' ? 'B' : 'A') + sign.slice(at + 1)
        await assert.rejects(compactVerify(jws.replace(sign, other), parseJwks({ keys }).find, { algorithms }))
      }
    })
  }

  test('the HMAC example is a good one: it is refused for what it is', () => {
    const [example] = signatures
    const [, secret] = keySets[1]?.jwks.keys ?? []
    const [head, body, sign] = example?.jws.split('.') ?? []
    const key = Buffer.from(secret?.k ?? '', 'base64url')
    assert.equal(createHmac('sha256', key).update(`${head}.${body}`).digest('base64url'), sign)
  })
})

describe('JSON Web Key Sets of the standards', () => {
  for (const { name, source, jwks, usable, thumbprints = {} } of keySets) {
    test(`${name} (${source}): ${usable.length} for signatures`, async () => {
      if (usable.length === 0) {
        assert.throws(() => parseJwks(jwks), /no key for signatures/)
        return
      }
      const { keys } = JSON.parse(parseJwks(jwks).text) as { keys: JWK[] }
      assert.deepEqual(
        keys.map(({ kid }) => kid),
        usable,
      )
      for (const key of keys) assert.equal(await calculateJwkThumbprint(key), thumbprints[key.kid ?? ''])
    })
  }
})

describe('JSON Web Token Best Current Practices (RFC 8725)', () => {
  const key = makeKey('ES256', 'own')
  const rsa = makeKey('RS256', 'rsa')
  const foreign = makeKey('ES256', 'own')
  const keys = [key.jwk, rsa.jwk]

  const tokenOf = ({ issuer, header = {}, claims = {}, omit = [], signature }: Threat): string => {
    const left = Object.fromEntries(omit.map(name => [name, undefined]))
    const payload = goodClaims({ ...(issuer && { iss: entraIssuer }), ...claims, ...left })
    if (signature === 'none') return `${encode({ typ: 'JWT', ...header })}.${encode(payload)}.`
    if (signature === 'hmac under the public key') {
      const input = `${encode({ typ: 'JWT', kid: 'rsa', ...header })}.${encode(payload)}`
      const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
      return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
    }
    return mint(signature ? foreign : key, payload, header)
  }

  for (const threat of threats) {
    test(`${threat.expected}: ${threat.threat} (${threat.source.split('#')[1]})`, async () => {
      const iss = threat.issuer ? entraIssuer : 'https://kubernetes.example.internal'
      assert.equal(await refusal(tokenOf(threat), keys, iss), threat.expected)
    })
  }

  test('and a token to which none of it applies is accepted', async () => {
    assert.equal(await refusal(mint(key, goodClaims()), keys, 'https://kubernetes.example.internal'), 'none')
  })
})
