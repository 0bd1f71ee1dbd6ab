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

const own = ({ broker, tokenFile, apiKey }: World, tenant: Tenant) => ({
  BROKER: broker,
  TENANT: tenant,
  TOKEN_FILE: tokenFile,
  CLIENT_ID: sample.application,
  API_KEY: apiKey,
})

const withApiKey = ({ broker, apiKey }: World, tenant: Tenant) => ({
  BROKER: broker,
  TENANT: tenant,
  API_KEY: apiKey,
})

/** What tools need besides: the broker in the place of Entra, and a stand-in for Azure Resource Manager. */
const forTools = ({ broker, resourceManager }: World) => ({ AUTHORITY: broker, ARM_ENDPOINT: resourceManager })

const aks = ({ tokenFile }: World, tenant: Tenant) => ({
  AZURE_TENANT_ID: tenant,
  AZURE_CLIENT_ID: sample.application,
  AZURE_FEDERATED_TOKEN_FILE: tokenFile,
})

/** All token endpoints that the examples use. */
export const endpoints = {
  tokens: { name: 'POST /tokens', at: 'broker', environment: own },
  oauth: { name: 'POST /oauth2/token', at: 'broker', environment: own },
  apiKey: {
    name: '… with an API key',
    at: 'broker',
    environment: ({ broker, apiKeyFile }, tenant) => ({ BROKER: broker, TENANT: tenant, API_KEY_FILE: apiKeyFile }),
  },
  mcp: {
    name: '… by token exchange',
    at: 'broker',
    environment: (world, tenant) => ({ ...own(world, tenant), API: world.api }),
  },
  assertion: { name: 'POST /{tenant}/oauth2/v2.0/token', at: 'broker', environment: own },
  v1: { name: 'POST /{tenant}/oauth2/token', at: 'broker', environment: own },
  secret: {
    name: '… with AZURE_CLIENT_SECRET',
    at: 'broker',
    environment: ({ broker, apiKey }, tenant) => ({
      AZURE_TENANT_ID: tenant,
      AZURE_CLIENT_ID: sample.application,
      AZURE_CLIENT_SECRET: apiKey,
      AZURE_AUTHORITY_HOST: broker,
    }),
  },
  authority: {
    name: '… with AZURE_AUTHORITY_HOST',
    at: 'broker',
    environment: (world, tenant) => ({ ...aks(world, tenant), ...forTools(world), AZURE_AUTHORITY_HOST: world.broker }),
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
    environment: (world, tenant) => ({
      ...forTools(world),
      IDENTITY_ENDPOINT: `${world.broker}/identity/${tenant}/token`,
      IDENTITY_HEADER: world.token,
    }),
  },
  argoCd: { name: 'GET /identity/{tenant}/token', at: 'broker', environment: withApiKey },
  externalSecrets: { name: 'POST /tokens', at: 'broker', environment: withApiKey },
  identity2017: {
    name: '… with MSI_ENDPOINT',
    at: 'broker',
    environment: ({ broker, apiKey }, tenant) => ({
      MSI_ENDPOINT: `${broker}/identity/${tenant}/token`,
      MSI_SECRET: apiKey,
    }),
  },
  agent2017: {
    name: 'agent, with MSI_ENDPOINT',
    at: 'agent',
    environment: ({ agents, secret }, tenant) => ({
      MSI_ENDPOINT: `${agents[tenant]}/identity/token`,
      MSI_SECRET: secret,
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
  sidecar: {
    name: 'agent, Entra sidecar',
    at: 'agent',
    environment: ({ agents }, tenant) => ({ SIDECAR_URL: agents[tenant] }),
  },
  terraform: {
    name: 'agent, metadata',
    at: 'agent',
    environment: ({ agents }, tenant) => ({
      ARM_MSI_ENDPOINT: `${agents[tenant]}/metadata/identity/oauth2/token`,
    }),
  },
} as const satisfies Record<string, Endpoint>
