/** What an issuer's metadata says about signing in, named as there (OpenID Connect Discovery 1.0 §3, RFC 9207). */
export interface SignInServer {
  readonly issuer: string
  readonly authorization_endpoint: string
  readonly token_endpoint: string
  readonly response_modes_supported?: readonly string[]
  readonly id_token_signing_alg_values_supported?: readonly string[]
  readonly authorization_response_iss_parameter_supported?: boolean
}

/** How people sign in to the dashboard with an issuer. Nothing in it is secret. */
export interface SignIn {
  readonly issuer: string
  readonly clientId: string
  /** Separated by spaces; `openid` is one of them. */
  readonly scope: string
  /** `undefined` while the issuer's metadata could not be fetched yet. */
  readonly server: SignInServer | undefined
}
