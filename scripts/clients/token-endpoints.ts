import { sample } from '../../emulator/options.ts'
import type { World } from './world.ts'

/** The tenant that a client is configured with: one that is granted, or one that the broker does not know. */
export type Tenant = 'contoso' | 'nowhere'

/** One token endpoint, with the environment variables that make a client use it. */
export interface Endpoint {
  readonly name: string
  /** Which service receives the client's requests. */
  readonly at: 'broker' | 'agent'
  readonly environment: (world: World, tenant: Tenant) => Readonly<Record<string, string>>
}

const own = ({ broker, tokenFile }: World, tenant: Tenant) => ({
  BROKER: broker,
  TENANT: tenant,
  TOKEN_FILE: tokenFile,
  CLIENT_ID: sample.application,
})

const aks = ({ tokenFile }: World, tenant: Tenant) => ({
  AZURE_TENANT_ID: tenant,
  AZURE_CLIENT_ID: sample.application,
  AZURE_FEDERATED_TOKEN_FILE: tokenFile,
})

/** All token endpoints that the examples use. */
export const endpoints = {
  tokens: { name: 'POST /tokens', at: 'broker', environment: own },
  oauth: { name: 'POST /oauth2/token', at: 'broker', environment: own },
  assertion: { name: 'POST /{tenant}/oauth2/v2.0/token', at: 'broker', environment: own },
  authority: {
    name: '… with AZURE_AUTHORITY_HOST',
    at: 'broker',
    environment: (world, tenant) => ({ ...aks(world, tenant), AZURE_AUTHORITY_HOST: world.broker }),
  },
  proxy: {
    name: '… with the AKS token proxy',
    at: 'broker',
    environment: (world, tenant) => ({
      ...aks(world, tenant),
      AZURE_KUBERNETES_TOKEN_PROXY: world.broker,
      AZURE_KUBERNETES_CA_FILE: world.caFile,
    }),
  },
  /** MSAL for Go requests the authority's metadata through the proxy, and refuses metadata that names another host. */
  proxyOfAuthority: {
    name: '… with both of them',
    at: 'broker',
    environment: (world, tenant) => ({
      ...aks(world, tenant),
      AZURE_AUTHORITY_HOST: world.broker,
      AZURE_KUBERNETES_TOKEN_PROXY: world.broker,
      AZURE_KUBERNETES_CA_FILE: world.caFile,
    }),
  },
  identity: {
    name: 'GET /identity/{tenant}/token',
    at: 'broker',
    environment: ({ broker, token }, tenant) => ({
      IDENTITY_ENDPOINT: `${broker}/identity/${tenant}/token`,
      IDENTITY_HEADER: token,
    }),
  },
  agent: {
    name: 'agent, /identity/token',
    at: 'agent',
    environment: ({ agents, secret }, tenant) => ({
      IDENTITY_ENDPOINT: `${agents[tenant]}/identity/token`,
      IDENTITY_HEADER: secret,
    }),
  },
  metadata: {
    name: 'agent, metadata',
    at: 'agent',
    environment: ({ agents }, tenant) => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: agents[tenant] }),
  },
} as const satisfies Record<string, Endpoint>
