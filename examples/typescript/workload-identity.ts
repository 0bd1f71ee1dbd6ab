// Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS. Then set AZURE_AUTHORITY_HOST to
// the broker, or AZURE_KUBERNETES_TOKEN_PROXY and AZURE_KUBERNETES_CA_FILE, which is AKS's token proxy.
import { WorkloadIdentityCredential } from '@azure/identity'
import { show } from './show.ts'

await show(new WorkloadIdentityCredential({ disableInstanceDiscovery: true, enableAzureProxy: true }))
