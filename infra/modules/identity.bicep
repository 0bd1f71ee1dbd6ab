// A user-assigned managed identity. With a lock, neither it nor its resource group can be deleted.

@description('Region.')
param location string

@description('Name of the identity.')
param name string

@description('Tags.')
param tags object

@description('Whether to lock the identity against deletion. Deleting the identity would end every exchange, and a new one has another principal id, which the federated credential does not name.')
param lock bool

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

// On the identity, and not on its group: a lock on the group would also keep the history of deployments from being trimmed,
// until their number prevents further ones.
resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  scope: identity
  name: '${name}-keep'
  properties: {
    level: 'CanNotDelete'
    notes: 'The federated credential of the multi-tenant application names this identity.'
  }
}

@description('Resource id.')
output id string = identity.id

@description('Client id: BROKER_IDENTITY_CLIENT_ID.')
output clientId string = identity.properties.clientId

@description('Principal id: the subject of the federated credential.')
output principalId string = identity.properties.principalId
