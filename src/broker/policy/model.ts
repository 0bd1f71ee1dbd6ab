import type { CallerMatcher } from './caller-matcher.ts'

/** What a caller asks for: well-formed, but neither known nor permitted yet. */
export interface TokenRequest {
  /** A tenant id in lower case, or a tenant's name in the policy. */
  readonly tenant: string
  /** `<resource>/.default`, byte for byte as the caller wrote it. */
  readonly scope: string
  /** The name of an application in the policy, or a client id in lower case: an application that has it. */
  readonly application: string
  /** Seconds; the least remaining life the caller needs. 0 when it does not care. */
  readonly minExpiresIn: number
}

/** Where an issuer's tokens are checked, as the policy says. */
export interface IssuerSettings {
  readonly name: string
  readonly issuer: string
  readonly audiences: readonly string[]
  /** Path of a JWK Set; else {@link jwksUri}; else the issuer's discovery document leads to it. */
  readonly jwksFile?: string
  readonly jwksUri?: string
  /** Path of the PEM certificates to trust for the issuer's own servers instead of the system's. */
  readonly caFile?: string
}

/** An API key, known by its hash only. A name has two of them while one replaces the other. */
export interface ApiKeySettings {
  readonly name: string
  /** SHA-256 of the whole key, in lower-case hex. */
  readonly sha256: string
  /** The UTC date at whose beginning it stops working, such as `2027-01-31`. */
  readonly expires: string
  /** That instant, in milliseconds since 1970. */
  readonly expiresAt: number
}

/** What the operations endpoints ask for: to see the broker's state, to make it forget tokens. */
export type Permission = 'observe' | 'purge'

/** So many in so many seconds. */
export interface Limit {
  readonly count: number
  readonly seconds: number
  /** The rule that says so: what is counted is counted per caller and rule. */
  readonly rule: string
}

/** What a rule grants to the callers it names. */
export interface Rule {
  readonly name: string
  /** Its place in the file. */
  readonly order: number
  readonly callers: readonly CallerMatcher[]
  /** Tenant ids, or every tenant but the home tenant. */
  readonly tenants: ReadonlySet<string> | '*'
  readonly scopes: ReadonlySet<string>
  /** Application names. */
  readonly applications: ReadonlySet<string>
  readonly permissions: ReadonlySet<Permission>
  /** Exchanges that a caller may cause. */
  readonly exchangeLimit?: Limit
  /** Requests that a caller may make. */
  readonly requestLimit?: Limit
}

/** What is refused before any rule is asked. A part that is absent matches everything. */
export interface Denial {
  /** Its place in the file. */
  readonly order: number
  readonly callers?: readonly CallerMatcher[]
  readonly tenants?: ReadonlySet<string>
  readonly scopes?: ReadonlySet<string>
  readonly applications?: ReadonlySet<string>
}

/** An ask whose tenant and application the policy knows. */
export interface Target {
  readonly application: string
  readonly clientId: string
  /** A GUID in lower case. */
  readonly tenant: string
  readonly scope: string
}

/** The entries of a policy that can matter for a tenant, by its id in lower case: all that match, and some that do not. */
export interface PolicyIndex {
  readonly rules: (tenant: string) => readonly Rule[]
  readonly denials: (tenant: string) => readonly Denial[]
}

/** A policy file, checked and compiled. Frozen: a new version is a new value. */
export interface Policy {
  /** SHA-256 of the file's bytes, in hex. */
  readonly version: string
  /** Name → client id. */
  readonly applications: ReadonlyMap<string, string>
  /** Name → tenant id. */
  readonly tenants: ReadonlyMap<string, string>
  readonly issuers: readonly IssuerSettings[]
  readonly apiKeys: readonly ApiKeySettings[]
  readonly denials: readonly Denial[]
  readonly rules: readonly Rule[]
  /** The rules and denials that can matter for a decision. */
  readonly index: PolicyIndex
  /** What can be meant, but hardly is. */
  readonly warnings: readonly string[]
}
