// The registry of the image.

@description('Region.')
param location string

@description('Name: 5 to 50 letters and digits, unique in Azure.')
param name string

@description('Tags.')
param tags object

@description('Pricing tier.')
param sku 'Basic' | 'Standard' | 'Premium'

@description('Resource id of the Log Analytics workspace for the registry\'s log.')
param workspaceId string

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    zoneRedundancy: sku == 'Premium' ? 'Enabled' : 'Disabled'
    policies: {
      // Container Apps pulls with such a token.
      azureADAuthenticationAsArmPolicy: { status: 'enabled' }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: registry
  name: 'log'
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

@description('Resource id.')
output id string = registry.id
