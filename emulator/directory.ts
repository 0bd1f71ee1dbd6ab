import type { JSONWebKeySet } from 'jose'
import { credentialOfAgent } from './agent-identities.ts'
import { EntraError } from './errors.ts'
import {
  type AgentIdentityOptions,
  type ApplicationOptions,
  defaultApplications,
  defaultResources,
  defaultTenants,
  type EmulatorOptions,
  type FederatedCredential,
  type ResourceOptions,
  sample,
  type TenantOptions,
} from './options.ts'

/** A tenant with its service principals. */
export interface Tenant {
  readonly id: string
  readonly consents: (clientId: string) => boolean
  readonly decided: Map<string, boolean>
  readonly disabled: readonly string[]
  readonly unassigned: readonly string[]
  /** The origin of Entra for this tenant; `undefined` if it is the emulator's. */
  readonly cloud: string | undefined
  readonly resources: readonly ResourceOptions[]
}

/** An application registration or an agent identity, with its federated credentials, all defaults filled in. */
export interface Application {
  readonly clientId: string
  readonly homeTenant: string
  federatedCredentials: readonly Required<FederatedCredential>[]
  /** Whether it is an agent identity blueprint. */
  readonly isBlueprint: boolean
  /** Of an agent identity: the client id of its blueprint. */
  readonly blueprint?: string
}

const guid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/** Whether a string is a GUID, in upper or lower case. */
export function isGuid(value: string): boolean {
  return guid.test(value)
}

/** The tenants, the applications, the managed identity and the trusted issuers. */
export class Directory {
  readonly homeTenant: string
  readonly audience: string
  /** Entra's own issuer for the home tenant. */
  readonly homeIssuer: string
  identity: { readonly clientId: string; readonly objectId: string }
  readonly #tenants: ReadonlyMap<string, Tenant>
  readonly #applications: ReadonlyMap<string, Application>
  readonly #issuers: ReadonlyMap<string, JSONWebKeySet>

  /** @param entraKeys the public keys of `homeIssuer` */
  constructor(options: EmulatorOptions, entraUrl: string, entraKeys: JSONWebKeySet) {
    this.homeTenant = (options.homeTenant ?? sample.homeTenant).toLowerCase()
    this.audience = options.audience ?? sample.audience
    this.homeIssuer = `${entraUrl}/${this.homeTenant}/v2.0`
    this.identity = { ...sample.identity, ...options.identity }
    const tenants = [{ id: this.homeTenant }, ...(options.tenants ?? defaultTenants)].map(toTenant)
    this.#tenants = new Map(tenants.map(tenant => [tenant.id, tenant]))
    const applications = (options.applications ?? defaultApplications).flatMap(app => this.#register(app, entraUrl))
    this.#applications = new Map(applications.map(app => [app.clientId, app]))
    const others = (options.federatedIssuers ?? []).map(({ issuer, jwks }) => [issuer, jwks] as const)
    const own = tenants.map(({ id }) => [`${entraUrl}/${id}/v2.0`, entraKeys] as const)
    this.#issuers = new Map([...others, ...own])
  }

  /** The application, and its agent identities. */
  #register(options: ApplicationOptions, entraUrl: string): readonly Application[] {
    const application = {
      clientId: options.clientId.toLowerCase(),
      homeTenant: (options.homeTenant ?? this.homeTenant).toLowerCase(),
      federatedCredentials: (options.federatedCredentials ?? [{}]).map(credential => this.#complete(credential)),
      isBlueprint: options.agentIdentities !== undefined,
    }
    const agents = (options.agentIdentities ?? []).map(agent => agentOf(agent, application.clientId, entraUrl))
    return [application, ...agents]
  }

  #complete(credential: FederatedCredential): Required<FederatedCredential> {
    const { issuer = this.homeIssuer, subject = this.identity.objectId, audience = this.audience } = credential
    return { issuer, subject, audience }
  }

  /** Throws AADSTS900023 if the text is not a tenant identifier, and AADSTS90002 if the tenant does not exist. */
  tenant(identifier: string): Tenant {
    const values = { tenant: identifier }
    if (!isGuid(identifier) && !/^[a-z\d-]+(\.[a-z\d-]+)+$/i.test(identifier)) throw new EntraError(900023, values)
    const tenant = this.#tenants.get(identifier.toLowerCase())
    if (!tenant) throw new EntraError(90002, values)
    return tenant
  }

  /**
   * Finds an application in a tenant. Throws AADSTS700016, AADSTS7000229 or AADSTS7000112 if it may not sign in there.
   */
  servicePrincipal(clientId: string, tenant: Tenant): Application {
    const values = { client: clientId, tenant: tenant.id }
    const application = this.#applications.get(clientId.toLowerCase())
    if (!application) throw new EntraError(700016, values)
    // An agent identity exists in one tenant, and nowhere else.
    if (application.blueprint !== undefined && application.homeTenant !== tenant.id)
      throw new EntraError(700016, values)
    const consented = tenant.decided.get(application.clientId) ?? tenant.consents(application.clientId)
    if (!consented) throw new EntraError(7000229, values)
    if (tenant.disabled.includes(application.clientId)) throw new EntraError(7000112, values)
    return application
  }

  /** Whether a client id is that of a blueprint or of an agent identity. */
  isAgentic(clientId: string): boolean {
    const application = this.#applications.get(clientId.toLowerCase())
    return application !== undefined && (application.isBlueprint || application.blueprint !== undefined)
  }

  /** The keys of a trusted issuer; undefined for any other issuer. */
  keysOf(issuer: string): JSONWebKeySet | undefined {
    return this.#issuers.get(issuer)
  }

  /** Replaces all credentials of an application; `[]` removes them. Throws for an unknown application. */
  setFederatedCredentials(clientId: string, credentials: readonly FederatedCredential[]): void {
    const application = this.#applications.get(clientId.toLowerCase())
    if (!application) throw new TypeError(`unknown application ${clientId}`)
    application.federatedCredentials = credentials.map(credential => this.#complete(credential))
  }

  /** Grants or revokes consent. Throws for an unknown tenant. */
  setConsent(tenant: string, clientId: string, consented: boolean): void {
    this.tenant(tenant).decided.set(clientId.toLowerCase(), consented)
  }
}

/** Finds a resource by its URI or app id, as a scope without `/.default` names it. One trailing slash is ignored. */
export function findResource(tenant: Tenant, name: string): ResourceOptions | undefined {
  const wanted = name.replace(/\/$/, '').toLowerCase()
  return tenant.resources.find(({ uri, appId }) => uri.toLowerCase() === wanted || appId.toLowerCase() === wanted)
}

function agentOf(options: AgentIdentityOptions, blueprint: string, entraUrl: string): Application {
  const [clientId, tenant] = [options.clientId.toLowerCase(), options.tenant.toLowerCase()]
  const credential = credentialOfAgent({ tenant, blueprint, agent: clientId }, entraUrl)
  return { clientId, homeTenant: tenant, federatedCredentials: [credential], isBlueprint: false, blueprint }
}

function toTenant(options: TenantOptions): Tenant {
  const { consented = 'all', disabled = [], unassigned = [], resources = defaultResources } = options
  return {
    id: options.id.toLowerCase(),
    consents: clientId => consented === 'all' || lower(consented).includes(clientId),
    decided: new Map(),
    disabled: lower(disabled),
    unassigned: lower(unassigned),
    cloud: options.cloud,
    resources,
  }
}

function lower(ids: readonly string[]): string[] {
  return ids.map(id => id.toLowerCase())
}
