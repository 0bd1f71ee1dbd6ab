import type { JWTPayload } from 'jose'

/** `jwt`: a token of an issuer of the policy. `secret`: the local secret of an agent. */
export type CallerKind = 'jwt' | 'secret'

/** Who is asking: made only where a credential is verified, from that credential. A test holds who imports this class. */
export class AuthenticatedCaller {
  readonly kind: CallerKind
  /** The issuer's name in the policy. */
  readonly issuer: string
  readonly subject: string
  /** Every claim of the token, as it was signed. */
  readonly claims: Readonly<JWTPayload>
  /** Makes the type nominal: an object that merely looks like a caller is none. */
  protected readonly verified = true

  constructor(kind: CallerKind, issuer: string, subject: string, claims: Readonly<JWTPayload>) {
    this.kind = kind
    this.issuer = issuer
    this.subject = subject
    this.claims = claims
    Object.freeze(this)
  }
}

/** An authenticated caller. */
export type Caller = AuthenticatedCaller
