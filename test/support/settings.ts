import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'

/** The smallest valid configuration, for each source of the identity. */
export const platform: Environment = {
  IDENTITY_ENDPOINT: 'http://localhost:42356/msi/token',
  IDENTITY_HEADER: 'secret',
}
/** With a managed identity of the platform. */
export const managed: Environment = {
  ...platform,
  BROKER_POLICY_FILE: 'policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-000000000001',
}
/** The variables that AKS workload identity sets. */
export const aks: Environment = {
  AZURE_TENANT_ID: '10000000-0000-4000-8000-000000000001',
  AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
}
/** With AKS workload identity. */
export const workload: Environment = {
  ...aks,
  BROKER_POLICY_FILE: 'policy.yaml',
  BROKER_IDENTITY_SOURCE: 'workload-identity',
}

/** Every variable that the configuration reads by its name, except a second spelling in lower case. */
export function namesRead(): readonly string[] {
  const names = new Set<string>()
  for (const environment of [managed, workload]) {
    const watched = new Proxy(environment, {
      get: (target, name) => {
        names.add(String(name))
        return target[String(name)]
      },
    })
    readConfig(watched)
  }
  return [...names].filter(name => name === name.toUpperCase()).toSorted()
}
