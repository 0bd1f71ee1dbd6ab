// The Container Apps environment, which only its virtual network can reach.

@description('Region.')
param location string

@description('Name of the environment.')
param name string

@description('Tags.')
param tags object

@description('Resource id of the environment\'s subnet, which is delegated to Microsoft.App/environments.')
param infrastructureSubnetId string

@description('Whether replicas are spread over availability zones. It cannot be changed later.')
param zoneRedundant bool

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

resource environment 'Microsoft.App/managedEnvironments@2026-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    // Logs go to the workspace through the diagnostic setting below, without the workspace's shared key.
    appLogsConfiguration: { destination: 'azure-monitor' }
    vnetConfiguration: { internal: true, infrastructureSubnetId: infrastructureSubnetId }
    publicNetworkAccess: 'Disabled'
    zoneRedundant: zoneRedundant
    workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }]
    // Tokens travel between the ingress and the replicas.
    peerTrafficConfiguration: { encryption: { enabled: true } }
    peerAuthentication: { mtls: { enabled: true } }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'log'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

@description('Resource id.')
output id string = environment.id

@description('Domain below which the apps are.')
output defaultDomain string = environment.properties.defaultDomain

@description('Address of the ingress in the virtual network.')
output staticIp string = environment.properties.staticIp
