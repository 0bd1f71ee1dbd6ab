// AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS, and AZURE_AUTHORITY_HOST, the broker; or,
// with AZURE_KUBERNETES_TOKEN_PROXY and AZURE_KUBERNETES_CA_FILE, through what AKS calls a token proxy.
import { WorkloadIdentityCredential } from '@azure/identity'
import { show } from './show.ts'

await show(new WorkloadIdentityCredential({ disableInstanceDiscovery: true, enableAzureProxy: true }))
