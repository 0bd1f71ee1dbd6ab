// The Log Analytics workspace. The audit log is here.

@description('Region.')
param location string

@description('Name of the workspace.')
param name string

@description('Tags.')
param tags object

@description('Days for which logs are kept.')
param retentionInDays int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionInDays
    features: { enableLogAccessUsingOnlyResourcePermissions: true, disableLocalAuth: true }
  }
}

@description('Resource id.')
output id string = workspace.id
