import type { Rate } from '../lib/token-bucket.ts'
import type { CallerFacts } from './caller-facts.ts'
import type { CallerMatcher } from './caller-matcher.ts'
import type { ClaimNames } from './file/named-claims.ts'

/** What a caller requests. It is well-formed; whether the policy knows and permits it is not decided yet. */
export interface TokenRequest {
  /** A tenant id in lower case, or a tenant's name in the policy. */
  readonly tenant: string
  /** `<resource>/.default` byte for byte as the caller wrote it, or a scope's name in the policy. */
  readonly scope: string
  /** The name of an application in the policy, or a client id in lower case, which stands for every application that has it. */
  readonly application: string
  /**
   * The agent identity for which the token is requested: its name in the policy, or its client id in lower case. With it,
   * {@link application} does not count. A client id in {@link application} stands for an agent identity too.
   */
  readonly agent?: string
  /** The tenant and the application as the caller wrote them, where they are not exactly the fields above. */
  readonly received?: { readonly tenant: string; readonly application: string }
  /** The minimum remaining lifetime of the token, in seconds. 0 if any lifetime will do. */
  readonly minExpiresIn: number
}

/** An agent identity of Entra. Its blueprint, an application, requests tokens for it. */
export interface AgentIdentity {
  /** The name and the client id of its blueprint. */
  readonly application: string
  readonly clientId: string
  /** Its own client id, in lower case. */
  readonly id: string
  /** The id of the only tenant in which it exists, in lower case; absent if the policy does not say so. */
  readonly tenant?: string
}

/** An issuer of the policy, and where its keys are. */
export interface IssuerSettings {
  readonly name: string
  readonly issuer: string
  readonly audiences: readonly string[]
  /** Path of a JWK Set. Without it, {@link jwksUri} is used; without both, the issuer's discovery document says where it is. */
  readonly jwksFile?: string
  readonly jwksUri?: string
  /** Path of the PEM certificates to trust for the issuer's servers instead of the system's. */
  readonly caFile?: string
  /**
   * Path of a token that authenticates the broker when it fetches keys. It is sent to the origin of {@link jwksUri}, or of
   * the issuer if there is none.
   */
  readonly jwksTokenFile?: string
}

/** An API key of the policy, of which only the hash is known. A name has two of them while one replaces the other. */
export interface ApiKeySettings {
  readonly name: string
  /** SHA-256 of the whole key, in lower-case hex. */
  readonly sha256: string
  /** The UTC date at whose beginning it stops working, such as `2027-01-31`. */
  readonly expires: string
  /** That instant, in milliseconds since 1970. */
  readonly expiresAt: number
}

/** What the operations endpoints require: `observe` to read the broker's state, `purge` to remove tokens from the cache. */
export type Permission = 'observe' | 'purge'

/** A limit of a rule. It is counted per caller and rule. */
export interface Limit extends Rate {
  /** The name of the rule that has the limit. */
  readonly rule: string
}

/** A rule: what it grants, and to which callers. */
export interface Rule {
  readonly name: string
  /** Its index in the file, from 0. */
  readonly order: number
  readonly callers: readonly CallerMatcher[]
  /** Tenant ids in lower case; or `*`, which is every tenant except the home tenant. */
  readonly tenants: ReadonlySet<string> | '*'
  readonly scopes: ReadonlySet<string>
  /** Application names. */
  readonly applications: ReadonlySet<string>
  /** Names of agent identities. */
  readonly agents?: ReadonlySet<string>
  readonly permissions: ReadonlySet<Permission>
  /** How many exchanges a caller may cause. */
  readonly exchangeLimit?: Limit
  /** How many requests a caller may make. */
  readonly requestLimit?: Limit
}

/** An entry of `deny`. It takes precedence over all rules. A part that is absent matches everything. */
export interface Denial {
  /** Its index in the file, from 0. */
  readonly order: number
  readonly callers?: readonly CallerMatcher[]
  readonly tenants?: ReadonlySet<string>
  readonly scopes?: ReadonlySet<string>
  /** Of the applications that it names, in lower case: another name of the same application does not evade it. */
  readonly clientIds?: ReadonlySet<string>
  /** Of the agent identities that it names, in lower case. */
  readonly agentIds?: ReadonlySet<string>
}

/** Whose token it is: an application's, or that of an agent identity. */
export interface TargetClient {
  /** Of an agent identity: its blueprint. */
  readonly application: string
  readonly clientId: string
  /** The name and the client id of the agent identity. */
  readonly agent?: string
  readonly agentId?: string
  /** The only tenant for which the agent identity gets tokens, if the policy says so. */
  readonly agentTenant?: string
}

/** What a request is for, with a tenant and an application that the policy knows. */
export interface Target extends TargetClient {
  /** A GUID in lower case. */
  readonly tenant: string
  readonly scope: string
}

/** Finds the entries of a policy that list a caller. */
export interface PolicyIndex {
  /** The rules that list the caller, for a tenant (by its id in lower case) and for every tenant. */
  readonly rules: (tenant: string, caller: CallerFacts) => readonly Rule[]
  /** The denials that list the caller or have no callers, for a tenant and for every tenant. */
  readonly denials: (tenant: string, caller: CallerFacts) => readonly Denial[]
  /** The rules with permissions that list the caller. */
  readonly permitting: (caller: CallerFacts) => readonly Rule[]
  /** The denials of the caller that have nothing but callers: they deny permissions too. */
  readonly barring: (caller: CallerFacts) => readonly Denial[]
  /** The names of the applications that have a client id, which is in lower case. */
  readonly applications: (clientId: string) => readonly string[]
  /** The name of the agent identity that has a client id, which is in lower case. */
  readonly agent: (id: string) => string | undefined
}

/** A policy file, validated and compiled. It is frozen: a new version is a new value. */
export interface Policy {
  /** SHA-256 of the file's bytes, in hex. */
  readonly version: string
  /** Name → client id. */
  readonly applications: ReadonlyMap<string, string>
  readonly agents: ReadonlyMap<string, AgentIdentity>
  /** Name → tenant id. */
  readonly tenants: ReadonlyMap<string, string>
  /** Name → `<resource>/.default`. */
  readonly scopes: ReadonlyMap<string, string>
  readonly issuers: readonly IssuerSettings[]
  readonly apiKeys: readonly ApiKeySettings[]
  /** How many exchanges all callers together may cause for an application in a tenant. */
  readonly tenantLimit?: Rate
  readonly denials: readonly Denial[]
  readonly rules: readonly Rule[]
  /** The claims that rules and denials name, by the issuer's name. Of a caller's token, no others are kept. */
  readonly namedClaims: ReadonlyMap<string, ClaimNames>
  /** The names of the issuers whose delegated tokens a rule lists. Of others, no delegated token is accepted. */
  readonly delegatedIssuers: ReadonlySet<string>
  /** The rules and denials by tenant and caller. */
  readonly index: PolicyIndex
  /** What is valid but probably a mistake. */
  readonly warnings: readonly string[]
  /** What is right, and could be written more simply. Only `token-broker policy check` prints it. */
  readonly hints: readonly string[]
}
