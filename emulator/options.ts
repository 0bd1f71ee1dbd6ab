import type { JSONWebKeySet } from 'jose'
import type { FaultPoint } from './faults.ts'

/** One issuer, subject and audience that an application trusts. */
export interface FederatedCredential {
  /** Default: Entra's issuer for the home tenant. */
  readonly issuer?: string
  /** Compared case-sensitively. Default: the managed identity's object id. */
  readonly subject?: string
  /** Default: the emulator's `audience`. */
  readonly audience?: string
}

/** An application registration. */
export interface ApplicationOptions {
  /** GUID. */
  readonly clientId: string
  /** The tenant of the registration. Default: the home tenant. Any other causes AADSTS700236. */
  readonly homeTenant?: string
  /** `[]` means none (AADSTS70025). Default: one that matches the managed identity. */
  readonly federatedCredentials?: readonly FederatedCredential[]
  /**
   * Makes the application an agent identity blueprint, with these agent identities. It gets no token of a resource itself
   * (AADSTS82001).
   */
  readonly agentIdentities?: readonly AgentIdentityOptions[]
}

/** An agent identity of a blueprint. */
export interface AgentIdentityOptions {
  /** GUID. */
  readonly clientId: string
  /** The only tenant in which it exists. A GUID. */
  readonly tenant: string
}

/** An API for which a tenant issues tokens. */
export interface ResourceOptions {
  /** Application ID URI without `/.default`, e.g. `https://graph.microsoft.com`. */
  readonly uri: string
  /** GUID. The audience of v2.0 tokens. */
  readonly appId: string
  readonly tokenVersion: 1 | 2
  /** The application permissions that every application has here: the claim `roles`. Default: none, and no claim. */
  readonly roles?: readonly string[]
}

/** A customer tenant. The client ids in its lists are application registrations of the home tenant. */
export interface TenantOptions {
  /** GUID. */
  readonly id: string
  /** The applications that have a service principal here; default `all`. */
  readonly consented?: readonly string[] | 'all'
  /** The applications whose service principal is disabled (AADSTS7000112). */
  readonly disabled?: readonly string[]
  /** The applications without the role assignment that the resources require (AADSTS501051). */
  readonly unassigned?: readonly string[]
  /**
   * The origin of Entra in the tenant's cloud, if that is another one: its metadata names that origin, and the token
   * endpoint refuses it (AADSTS90038).
   */
  readonly cloud?: string
  /** Default: Microsoft Graph and Azure Resource Manager (v1.0 tokens) and `api://sample-api` (v2.0). */
  readonly resources?: readonly ResourceOptions[]
}

/** An issuer other than Entra that federated credentials may name, such as a Kubernetes cluster. RS256 only. */
export interface FederatedIssuer {
  readonly issuer: string
  readonly jwks: JSONWebKeySet
}

/** The user-assigned managed identity. */
export interface IdentityOptions {
  /** GUID. */
  readonly clientId?: string
  /** GUID of its service principal, which is the subject of its tokens. */
  readonly objectId?: string
}

/** How a new emulator starts. */
export interface EmulatorOptions {
  /** The tenant of the identity and of the application registrations. A GUID. */
  readonly homeTenant?: string
  readonly identity?: IdentityOptions
  /** The audience of client assertions; default `api://AzureADTokenExchange`. */
  readonly audience?: string
  /** Default: `sample.application` and `sample.blueprint`, each with a credential that matches the managed identity. */
  readonly applications?: readonly ApplicationOptions[]
  /** Default: two tenants with consent and one without, see `sample`. The home tenant always exists. */
  readonly tenants?: readonly TenantOptions[]
  readonly federatedIssuers?: readonly FederatedIssuer[]
  /** TCP ports on loopback; default 0, which means any free port. */
  readonly ports?: { readonly entra?: number; readonly local?: number }
  /** Milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number
}

/** Settings that can change while the emulator runs. */
export interface Settings {
  /** `expires_in` of access tokens, in seconds; default 3599. */
  readonly expiresIn: number
  /** `refresh_in` of access tokens, in seconds; default null, which omits the field. */
  readonly refreshIn: number | null
  /** Version of access tokens for all resources; default null, which uses each resource's version. */
  readonly tokenVersion: 1 | 2 | null
  /** Whether access tokens are random text instead of JWTs, as for some first-party APIs; default false. */
  readonly opaqueTokens: boolean
  /** Life of the identity endpoint's tokens, in seconds; default 86400. */
  readonly identityTokenLife: number
  /** Whether the identity endpoint repeats a token until it expires, as the platform does; default true. */
  readonly repeatIdentityToken: boolean
  /** Delay of each endpoint, in milliseconds; default none. */
  readonly latency: Readonly<Partial<Record<FaultPoint, number>>>
  /** Seconds by which the clock of Entra's token endpoint is ahead of the others; negative: behind. */
  readonly clockAhead: number
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
  clockAhead: 0,
}

/** The identifiers of a new emulator. All are invented. */
export const sample = {
  homeTenant: '10000000-0000-4000-8000-000000000001',
  identity: { clientId: '20000000-0000-4000-8000-000000000001', objectId: '20000000-0000-4000-8000-00000000000b' },
  application: '30000000-0000-4000-8000-000000000001',
  /** An agent identity blueprint, and its agent identity in contoso. */
  blueprint: '30000000-0000-4000-8000-0000000000c1',
  agentIdentity: '60000000-0000-4000-8000-0000000000a1',
  contoso: '40000000-0000-4000-8000-000000000001',
  fabrikam: '40000000-0000-4000-8000-000000000002',
  /** A tenant that has not consented to the application. */
  tailspin: '40000000-0000-4000-8000-000000000003',
  audience: 'api://AzureADTokenExchange',
} as const

/** The application registrations of an emulator whose options name none. */
export const defaultApplications: readonly ApplicationOptions[] = [
  { clientId: sample.application },
  {
    clientId: sample.blueprint,
    agentIdentities: [{ clientId: sample.agentIdentity, tenant: sample.contoso }],
  },
]

/** The resources of a tenant whose options name none. Graph and Azure Resource Manager have their real app ids. */
export const defaultResources: readonly ResourceOptions[] = [
  {
    uri: 'https://graph.microsoft.com',
    appId: '00000003-0000-0000-c000-000000000000',
    tokenVersion: 1,
    roles: ['Organization.Read.All', 'User.Read.All'],
  },
  { uri: 'https://management.azure.com', appId: '797f4846-ba00-4fd7-ba43-dac1f8f63013', tokenVersion: 1 },
  { uri: 'api://sample-api', appId: '50000000-0000-4000-8000-000000000001', tokenVersion: 2, roles: ['Orders.Read'] },
]

/** The tenants of an emulator whose options name none. */
export const defaultTenants: readonly TenantOptions[] = [
  { id: sample.contoso },
  { id: sample.fabrikam },
  { id: sample.tailspin, consented: [] },
]
