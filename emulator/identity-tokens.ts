import { randomUUID } from 'node:crypto'
import type { Directory } from './directory.ts'
import { type Json, signJws, type SigningKey } from './jws.ts'

/** A managed-identity token as the platform keeps it. */
export interface IdentityToken {
  readonly token: string
  /** Unix seconds. */
  readonly expiresOn: number
}

/** The managed identity's tokens, in Entra's v2.0 shape; repeated until they expire, as the platform does. */
export class IdentityTokens {
  readonly #directory: Directory
  readonly #key: SigningKey
  readonly #now: () => number
  /** Promises, so that requests at the same time get the same token. */
  readonly #held = new Map<string, Promise<IdentityToken>>()

  /** `now` in milliseconds. */
  constructor(directory: Directory, key: SigningKey, now: () => number) {
    this.#directory = directory
    this.#key = key
    this.#now = now
  }

  /** The token held for a resource, or a new one with `life` seconds when there is none or it has expired. */
  async repeat(resource: string, life: number): Promise<IdentityToken> {
    const held = await this.#held.get(resource)
    if (held && held.expiresOn * 1000 > this.#now()) return held
    const fresh = this.mint({ aud: resource }, life)
    this.#held.set(resource, fresh)
    return fresh
  }

  /** From now on a new token is handed out. */
  forget(): void {
    this.#held.clear()
  }

  /** A new token; `claims` replace its own. */
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
