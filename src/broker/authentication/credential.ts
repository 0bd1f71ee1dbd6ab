import type { ReasonOf } from '../../errors.ts'

/** A client secret (RFC 6749 §2.3.1). Only an API key of the policy is accepted as one. */
export interface ClientSecret {
  readonly clientSecret: string
}

/** What authenticates a request: a bearer credential (RFC 6750 §2.1), which is an API key or a JWT, or a client secret. */
export type Credential = string | ClientSecret

/** The text of a credential, as the client sent it. */
export const textOf = (credential: Credential): string =>
  typeof credential === 'string' ? credential : credential.clientSecret

/** Why a token is refused: the reason, and the detail for the caller. */
export type Refusal = readonly [reason: ReasonOf<'invalid_token'>, detail: string]
