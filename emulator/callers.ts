import type { JSONWebKeySet } from 'jose'
import { randomUUID } from 'node:crypto'
import { createSigningKey, type Json, signJws, type SigningKey } from './jws.ts'

/** How a caller's token differs from a valid one. */
export interface CallerTokenOptions {
  /** Header fields that replace the default ones; `alg: none` leaves the signature empty. */
  readonly header?: Json
  /** Seconds from now; default 3600. A negative number makes an expired token. */
  readonly expiresIn?: number
  /**
   * `foreign`: an unpublished key that uses the kid of a published one. `retired`: a key that is no longer published.
   */
  readonly key?: 'current' | 'foreign' | 'retired'
  /** Default: `callerIssuer`. */
  readonly issuer?: string
  /** Default: `token-broker`. */
  readonly audience?: string | readonly string[]
  /** Claims to leave out. */
  readonly omit?: readonly string[]
}

/** The issuer of callers' tokens, which are signed with ES256. */
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

  /** Creates an issuer with new keys. `now` is in milliseconds. */
  static async create(issuer: string, now: () => number): Promise<Callers> {
    const [current, foreign, retired] = await Promise.all([newKey(), newKey(), newKey()])
    return new Callers(issuer, now, { current, foreign, retired })
  }

  /** The published keys, the current one first. */
  jwks(): JSONWebKeySet {
    return { keys: [this.#current, ...this.#older].map(key => key.jwk) }
  }

  /** Signs with a new key from now on. The old keys stay published unless `drop` is set. Resolves to the new kid. */
  async rotate(options: { readonly drop?: boolean } = {}): Promise<string> {
    const next = await newKey()
    if (options.drop) this.#retired = this.#current
    this.#older = options.drop ? [] : [this.#current, ...this.#older]
    this.#current = next
    return next.kid
  }

  /** Signs a token; `claims` replace the default ones. */
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
