/**
 * What rules compare when they match a caller, by kind of credential. Facts are not a proof: only `authenticate` makes a
 * caller of them.
 */
export type CallerFacts = JwtFacts | ApiKeyFacts | CertificateFacts | SecretFacts

/** The facts of a caller with a token of one of the policy's issuers. */
export interface JwtFacts {
  readonly kind: 'jwt'
  /** The issuer's name in the policy. */
  readonly issuer: string
  readonly subject: string
  /** The claims of the token. Of an authenticated caller, only those that its policy names (`keepNamed`). */
  readonly claims: Readonly<Record<string, unknown>>
  /** The user for whom a delegated token of Entra acts; `undefined` if the token is an application's own. */
  readonly user?: UserFacts | undefined
}

/** The user of a delegated token. No rule matches both a user and an application. */
export interface UserFacts {
  /** The object id in the tenant of the issuer: a GUID in lower case. */
  readonly oid: string
  /** The client id of the application that requested the token (`azp`, `appid`). */
  readonly clientId: string
  /** Whether the token says that the user is a guest of the tenant. */
  readonly isGuest: boolean
}

/** The facts of a caller with one of the policy's API keys. */
export interface ApiKeyFacts {
  readonly kind: 'apiKey'
  /** The key's name in the policy. */
  readonly key: string
  /** The UTC date on which it stops working. It distinguishes a key from the one that replaces it under the same name. */
  readonly expires: string
}

/** The facts of a caller with a client certificate. */
export interface CertificateFacts {
  readonly kind: 'certificate'
  /** Its subject alternative names that are URIs, unchanged (RFC 5280 §4.2.1.6). */
  readonly uris: readonly string[]
  /** Its subject alternative names that are DNS names, in lower case. */
  readonly dnsNames: readonly string[]
  /** SHA-256 of the certificate in DER, in lower-case hex. */
  readonly fingerprint: string
}

/** The facts of an agent's caller, which has the agent's local secret. A policy file cannot refer to it. */
export interface SecretFacts {
  readonly kind: 'secret'
}
