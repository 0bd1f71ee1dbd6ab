import type { JSONWebKeySet } from 'jose'
import type { FaultPoint } from './faults.ts'

/** The trust an application puts in one issuer, subject and audience. */
export interface FederatedCredential {
  /** Default: Entra's own issuer for the home tenant. */
  readonly issuer?: string
  /** Compared case-sensitively; default: the managed identity's object id. */
  readonly subject?: string
  /** Default: the emulator's `audience`. */
  readonly audience?: string
}

/** An application registration. */
export interface ApplicationOptions {
  /** GUID. */
  readonly clientId: string
  /** The tenant of the registration; default: the home tenant. Any other leads to AADSTS700236. */
  readonly homeTenant?: string
  /** `[]`: none at all (AADSTS70025); default: one that fits the managed identity. */
  readonly federatedCredentials?: readonly FederatedCredential[]
}

/** An API that tokens can be asked for in a tenant. */
export interface ResourceOptions {
  /** Application ID URI without `/.default`, e.g. `https://graph.microsoft.com`. */
  readonly uri: string
  /** GUID: the audience of v2.0 tokens. */
  readonly appId: string
  readonly tokenVersion: 1 | 2
}

/** A customer tenant. Client ids that appear in its lists are application registrations of the home tenant. */
export interface TenantOptions {
  /** GUID. */
  readonly id: string
  /** The applications that have a service principal here; default `all`. */
  readonly consented?: readonly string[] | 'all'
  /** The applications whose service principal is disabled (AADSTS7000112). */
  readonly disabled?: readonly string[]
  /** The applications that lack a role assignment the resources ask for (AADSTS501051). */
  readonly unassigned?: readonly string[]
  /** Default: Microsoft Graph and Azure Resource Manager (v1.0 tokens) and `api://sample-api` (v2.0). */
  readonly resources?: readonly ResourceOptions[]
}

/** An issuer besides Entra itself that federated credentials may name, e.g. a Kubernetes cluster's. RS256 only. */
export interface FederatedIssuer {
  readonly issuer: string
  readonly jwks: JSONWebKeySet
}

/** The user-assigned managed identity. */
export interface IdentityOptions {
  /** GUID. */
  readonly clientId?: string
  /** GUID of its service principal: the subject of its tokens. */
  readonly objectId?: string
}

/** How a new emulator starts. */
export interface EmulatorOptions {
  /** The tenant of the identity and of the application registrations: a GUID. */
  readonly homeTenant?: string
  readonly identity?: IdentityOptions
  /** Audience of the token exchange; default `api://AzureADTokenExchange`. */
  readonly audience?: string
  /** Default: `sample.application` with a credential that fits. */
  readonly applications?: readonly ApplicationOptions[]
  /** Default: two consented tenants and one without consent, see `sample`. The home tenant is always there. */
  readonly tenants?: readonly TenantOptions[]
  readonly federatedIssuers?: readonly FederatedIssuer[]
  /** TCP ports on loopback; default 0: any free one. */
  readonly ports?: { readonly entra?: number; readonly local?: number }
  /** Milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number
}

/** What can be changed while the emulator runs. */
export interface Settings {
  /** Seconds, `expires_in` of access tokens; default 3599. */
  readonly expiresIn: number
  /** Seconds, `refresh_in` of access tokens; default null: left out. */
  readonly refreshIn: number | null
  /** Shape of access tokens whatever the resource says; default null: the resource's own. */
  readonly tokenVersion: 1 | 2 | null
  /** Access tokens are random text instead of JWTs, as for some first-party APIs. */
  readonly opaqueTokens: boolean
  /** Seconds, life of the identity endpoint's tokens; default 86400. */
  readonly identityTokenLife: number
  /** Whether the identity endpoint repeats its token until that expires, as the platform does; default true. */
  readonly repeatIdentityToken: boolean
  /** Milliseconds before an endpoint answers; default none. */
  readonly latency: Readonly<Partial<Record<FaultPoint, number>>>
}

/** The settings of a new emulator. */
export const defaultSettings: Settings = {
  expiresIn: 3599,
  refreshIn: null,
  tokenVersion: null,
  opaqueTokens: false,
  identityTokenLife: 86_400,
  repeatIdentityToken: true,
  latency: {},
}

/** The identifiers of the default world; invented, except the two resources' app ids. */
export const sample = {
  homeTenant: '10000000-0000-4000-8000-000000000001',
  identity: { clientId: '20000000-0000-4000-8000-000000000001', objectId: '20000000-0000-4000-8000-00000000000b' },
  application: '30000000-0000-4000-8000-000000000001',
  contoso: '40000000-0000-4000-8000-000000000001',
  fabrikam: '40000000-0000-4000-8000-000000000002',
  /** Knows the application but has not consented. */
  tailspin: '40000000-0000-4000-8000-000000000003',
  audience: 'api://AzureADTokenExchange',
} as const

/** The resources of a tenant that names none. */
export const defaultResources: readonly ResourceOptions[] = [
  { uri: 'https://graph.microsoft.com', appId: '00000003-0000-0000-c000-000000000000', tokenVersion: 1 },
  { uri: 'https://management.azure.com', appId: '797f4846-ba00-4fd7-ba43-dac1f8f63013', tokenVersion: 1 },
  { uri: 'api://sample-api', appId: '50000000-0000-4000-8000-000000000001', tokenVersion: 2 },
]

/** The tenants of an emulator that names none. */
export const defaultTenants: readonly TenantOptions[] = [
  { id: sample.contoso },
  { id: sample.fabrikam },
  { id: sample.tailspin, consented: [] },
]
