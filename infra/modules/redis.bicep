// Azure Managed Redis, in which replicas share their encrypted tokens. Only the broker's identity may use it, and only
// the private endpoint reaches it.

@description('Region.')
param location string

@description('Name of the cluster, unique in the region.')
param name string

@description('Tags.')
param tags object

@description('Size, such as Balanced_B0. 10,000 tokens take about 20 MB.')
param sku string

@description('Whether the data is on two nodes. Without it, maintenance empties the cache.')
param highAvailability bool

@description('Principal id of the identity that may use the data.')
param identityPrincipalId string

@description('Resource id of the subnet of the private endpoint.')
param endpointSubnetId string

@description('Resource id of the virtual network that resolves the private name.')
param networkId string

@description('Resource id of a private DNS zone privatelink.redis.azure.net that the network already resolves. Empty: create one.')
param existingZoneId string

@description('Resource id of the Log Analytics workspace for the connections\' log.')
param workspaceId string

resource cluster 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku }
  properties: {
    minimumTlsVersion: '1.2'
    highAvailability: highAvailability ? 'Enabled' : 'Disabled'
    publicNetworkAccess: 'Disabled'
  }

  resource database 'databases' = {
    name: 'default'
    properties: {
      clientProtocol: 'Encrypted'
      port: 10000
      clusteringPolicy: 'EnterpriseCluster'
      evictionPolicy: 'VolatileTTL'
      accessKeysAuthentication: 'Disabled'
      // Tokens are short-lived. A copy on a disk would only be another place to protect.
      persistence: { aofEnabled: false, rdbEnabled: false }
    }

    // The name must match [A-Za-z0-9]{1,60}.
    resource access 'accessPolicyAssignments' = {
      name: 'broker'
      properties: {
        accessPolicyName: 'default'
        user: { objectId: identityPrincipalId }
      }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: cluster::database
  name: 'log'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'ConnectionEvents', enabled: true }]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (empty(existingZoneId)) {
  name: 'privatelink.redis.azure.net'
  location: 'global'
  tags: tags

  resource link 'virtualNetworkLinks' = {
    name: 'link-${uniqueString(networkId)}'
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-01-01' = {
  name: '${name}-endpoint'
  location: location
  tags: tags
  properties: {
    subnet: { id: endpointSubnetId }
    privateLinkServiceConnections: [
      { name: 'redis', properties: { privateLinkServiceId: cluster.id, groupIds: ['redisEnterprise'] } }
    ]
  }

  resource zones 'privateDnsZoneGroups' = {
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        { name: 'redis', properties: { privateDnsZoneId: empty(existingZoneId) ? zone.id : existingZoneId } }
      ]
    }
  }
}

@description('Address for BROKER_REDIS_URL.')
output url string = 'rediss://${cluster.properties.hostName}:${cluster::database.properties.port}'
