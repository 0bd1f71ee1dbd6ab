import { randomUUID } from 'node:crypto'
import type { Directory } from './directory.ts'
import { type Json, signJws, type SigningKey } from './jws.ts'

/** A managed-identity token with its expiry. */
export interface IdentityToken {
  readonly token: string
  /** Unix seconds. */
  readonly expiresOn: number
}

/**
 * Issues the managed identity's tokens, in Entra's v2.0 format. Like the platform, it repeats a token until it expires.
 */
export class IdentityTokens {
  readonly #directory: Directory
  readonly #key: SigningKey
  readonly #now: () => number
  /** Promises by resource, so that concurrent requests get the same token. */
  readonly #cached = new Map<string, Promise<IdentityToken>>()

  /** `now` is in milliseconds. */
  constructor(directory: Directory, key: SigningKey, now: () => number) {
    this.#directory = directory
    this.#key = key
    this.#now = now
  }

  /**
   * Returns the cached token for a resource. Without one, or if it has expired, issues one that lives `life` seconds.
   */
  async repeat(resource: string, life: number): Promise<IdentityToken> {
    const cached = await this.#cached.get(resource)
    if (cached && cached.expiresOn * 1000 > this.#now()) return cached
    const fresh = this.mint({ aud: resource }, life)
    this.#cached.set(resource, fresh)
    return fresh
  }

  /** Clears the cache, so that the next request gets a new token. */
  forget(): void {
    this.#cached.clear()
  }

  /** Issues a new token. `claims` replace the default ones; `life` is in seconds. */
  async mint(claims: Json = {}, life = 86_400): Promise<IdentityToken> {
    const { identity, homeTenant, homeIssuer, audience } = this.#directory
    const seconds = Math.floor(this.#now() / 1000)
    const payload = {
      aud: audience,
      iss: homeIssuer,
      iat: seconds,
      nbf: seconds,
      exp: seconds + life,
      azp: identity.clientId,
      azpacr: '2',
      idtyp: 'app',
      oid: identity.objectId,
      sub: identity.objectId,
      tid: homeTenant,
      uti: randomUUID(),
      ver: '2.0',
      ...claims,
    }
    const token = await signJws({ alg: 'RS256', kid: this.#key.kid, typ: 'JWT' }, payload, this.#key)
    return { token, expiresOn: payload.exp }
  }
}
