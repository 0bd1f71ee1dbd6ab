import type { JSONWebKeySet } from 'jose'
import { randomUUID } from 'node:crypto'
import { createSigningKey, type Json, signJws, type SigningKey } from './jws.ts'

/** How a caller's token differs from a good one. */
export interface CallerTokenOptions {
  /** Header members that replace the token's own; `alg: none` leaves the signature empty. */
  readonly header?: Json
  /** Seconds from now; default 3600, negative: expired. */
  readonly expiresIn?: number
  /** `foreign`: a key that is not published under the kid of one that is; `retired`: one no longer published. */
  readonly key?: 'current' | 'foreign' | 'retired'
  /** Default: `callerIssuer`. */
  readonly issuer?: string
  /** Default: `token-broker`. */
  readonly audience?: string | readonly string[]
  /** Claims to leave out. */
  readonly omit?: readonly string[]
}

/** An issuer of callers' tokens, ES256. */
export class Callers {
  readonly #issuer: string
  readonly #now: () => number
  readonly #foreign: SigningKey
  #current: SigningKey
  #older: SigningKey[] = []
  #retired: SigningKey

  private constructor(issuer: string, now: () => number, keys: Record<'current' | 'foreign' | 'retired', SigningKey>) {
    this.#issuer = issuer
    this.#now = now
    this.#current = keys.current
    this.#foreign = keys.foreign
    this.#retired = keys.retired
  }

  /** With new keys; `now` in milliseconds. */
  static async create(issuer: string, now: () => number): Promise<Callers> {
    const [current, foreign, retired] = await Promise.all([newKey(), newKey(), newKey()])
    return new Callers(issuer, now, { current, foreign, retired })
  }

  /** The published keys, the current one first. */
  jwks(): JSONWebKeySet {
    return { keys: [this.#current, ...this.#older].map(key => key.jwk) }
  }

  /** Signs with a new key from now on; the old ones stay published unless dropped. Resolves to the new kid. */
  async rotate(options: { readonly drop?: boolean } = {}): Promise<string> {
    const next = await newKey()
    if (options.drop) this.#retired = this.#current
    this.#older = options.drop ? [] : [this.#current, ...this.#older]
    this.#current = next
    return next.kid
  }

  /** A token; `claims` replace its own. */
  mint(claims: Json = {}, options: CallerTokenOptions = {}): Promise<string> {
    const { issuer = this.#issuer, audience = 'token-broker', expiresIn = 3600, omit = [], key = 'current' } = options
    const seconds = Math.floor(this.#now() / 1000)
    const own = {
      iss: issuer,
      aud: audience,
      sub: 'sample-caller',
      iat: seconds,
      exp: seconds + expiresIn,
      jti: randomUUID(),
    }
    const payload = Object.entries({ ...own, ...claims }).filter(([name]) => !omit.includes(name))
    const signer = { current: this.#current, foreign: this.#foreign, retired: this.#retired }[key]
    const kid = key === 'foreign' ? this.#current.kid : signer.kid
    const header = { alg: 'ES256', kid, typ: 'JWT', ...options.header }
    return signJws(header, Object.fromEntries(payload), signer)
  }
}

function newKey(): Promise<SigningKey> {
  return createSigningKey('ES256', `caller-${randomUUID()}`)
}
