import { createPublicKey, generateKeyPair, type KeyObject, sign, verify } from 'node:crypto'
import { promisify } from 'node:util'
import type { JWK } from 'jose'

const generate = promisify(generateKeyPair)

/** A JSON object: the claims or the header of a token. */
export type Json = Record<string, unknown>

/** A private key and the public half as it is published. */
export interface SigningKey {
  readonly kid: string
  readonly alg: 'RS256' | 'ES256'
  readonly privateKey: KeyObject
  readonly jwk: JWK
}

/** The parts of a token. Nothing is verified. */
export interface DecodedJws {
  readonly header: Json
  readonly payload: Json
  readonly signingInput: string
  readonly signature: Buffer
}

/** Creates a key pair: RSA 2048 for RS256, P-256 for ES256. */
export async function createSigningKey(alg: SigningKey['alg'], kid: string): Promise<SigningKey> {
  const { publicKey, privateKey } =
    alg === 'RS256' ? await generate('rsa', { modulusLength: 2048 }) : await generate('ec', { namedCurve: 'P-256' })
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

/**
 * Signs a compact JWS (RFC 7515). The header is taken as given, so that a test can make it lie about the key or the
 * algorithm; `alg: none` gets an empty signature.
 */
export async function signJws(header: Json, payload: Json, key: SigningKey): Promise<string> {
  const signingInput = `${encode(header)}.${encode(payload)}`
  if (header['alg'] === 'none') return `${signingInput}.`
  const signature = await signBytes(Buffer.from(signingInput), key.privateKey)
  return `${signingInput}.${signature.toString('base64url')}`
}

function signBytes(data: Buffer, key: KeyObject): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  // JWS requires the r||s form of an ECDSA signature. RSA ignores the option.
  sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, (error, signature) => {
    if (error) reject(error)
    else resolve(signature)
  })
  return promise
}

function encode(part: Json): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

/** Decodes a compact JWS without verifying it. Returns undefined if the text is not one. */
export function decodeJws(token: string): DecodedJws | undefined {
  if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token)) return undefined
  const [head = '', body = '', signature = ''] = token.split('.')
  const header = parseObject(head)
  const payload = parseObject(body)
  if (!header || !payload) return undefined
  return { header, payload, signingInput: `${head}.${body}`, signature: Buffer.from(signature, 'base64url') }
}

function parseObject(part: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Whether a value is a JSON object: neither an array nor null. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether the RS256 signature was made with the given key. */
export function verifyRs256(jws: DecodedJws, jwk: JWK): boolean {
  if (jwk.kty !== 'RSA') return false
  return verify('sha256', Buffer.from(jws.signingInput), createPublicKey({ key: jwk, format: 'jwk' }), jws.signature)
}
