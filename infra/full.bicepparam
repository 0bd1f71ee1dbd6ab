// Every part switched on, as an organisation with its own network, registry and workspace would deploy it. All ids are
// examples. The registrations exist already (registrations = false, the default), so full-policy.yaml has their ids.
using 'main.bicep'

param location = 'westeurope'
param name = 'token-broker'
param resourceGroupName = 'platform-token-broker'
param identityResourceGroupName = 'platform-token-broker-identity'
param tags = { owner: 'platform', costCenter: '1234' }
param image = 'contosoregistry.azurecr.io/token-broker:0.1.0'
param policy = loadTextContent('full-policy.yaml')
param infrastructureSubnetId = '/subscriptions/10000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/spoke/subnets/token-broker'
param endpointSubnetId = '/subscriptions/10000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/spoke/subnets/endpoints'
param callersInNetwork = true
param callerNetworkIds = [
  '/subscriptions/10000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub'
]
param registryId = '/subscriptions/10000000-0000-4000-8000-000000000002/resourceGroups/registry/providers/Microsoft.ContainerRegistry/registries/contosoregistry'
param registryUsesAbac = true
param minReplicas = 3
param maxReplicas = 10
param cpu = '1.0'
param memory = '2Gi'
param drainSeconds = 20
param audit = 'summary'
param settings = {
  BROKER_CACHE_MAX_ENTRIES: '100000'
  BROKER_DASHBOARD_CLIENT_ID: '80000000-0000-4000-8000-000000000001'
  HTTPS_PROXY: 'http://proxy.example:3128'
}
param redis = true
param redisZoneId = '/subscriptions/10000000-0000-4000-8000-000000000001/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.redis.azure.net'
// Not in a file: "token-broker key cache" prints a key.
param cacheKeys = readEnvironmentVariable('BROKER_CACHE_KEYS')
param collectorImage = 'contosoregistry.azurecr.io/otelcol@sha256:0000000000000000000000000000000000000000000000000000000000000001'
param collectorConfig = readEnvironmentVariable('BROKER_COLLECTOR_CONFIG')
param alertEmails = ['platform@contoso.example']
param workspaceId = '/subscriptions/10000000-0000-4000-8000-000000000001/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/contoso'
param doctorTenant = '40000000-0000-4000-8000-000000000001'
param firstCaller = true
param firstRequest = { tenant: 'home', scope: 'https://graph.microsoft.com/.default' }
param apiClientId = '50000000-0000-4000-8000-000000000001'
