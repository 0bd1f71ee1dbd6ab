/** What rules look at when they ask who a caller is, by kind of credential. Facts alone are no caller: anybody can write them. */
export type CallerFacts = JwtFacts | ApiKeyFacts | CertificateFacts | SecretFacts

/** A caller with a token of one of the policy's issuers. */
export interface JwtFacts {
  readonly kind: 'jwt'
  /** The issuer's name in the policy. */
  readonly issuer: string
  readonly subject: string
  /** Every claim of the token, as it was signed. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** A caller with one of the policy's API keys. */
export interface ApiKeyFacts {
  readonly kind: 'apiKey'
  /** The key's name in the policy. */
  readonly key: string
  /** The UTC date from which on it no longer works: tells a key from the one that replaces it under the same name. */
  readonly expires: string
}

/** A caller with a client certificate. */
export interface CertificateFacts {
  readonly kind: 'certificate'
  /** Its subject alternative names that are URIs, as they stand in it (RFC 5280 §4.2.1.6). */
  readonly uris: readonly string[]
  /** Those that are DNS names, in lower case. */
  readonly dnsNames: readonly string[]
  /** SHA-256 of the certificate in DER, in lower-case hex. */
  readonly fingerprint: string
}

/** The caller of an agent: whoever holds its local secret. No policy file can name it. */
export interface SecretFacts {
  readonly kind: 'secret'
}
