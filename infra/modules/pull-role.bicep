// Lets an identity pull images from a registry. Deployed to the registry's resource group.

@description('Name of the registry.')
param registryName string

@description('Principal id of the identity that pulls.')
param principalId string

@description('Whether the registry uses attribute-based access control (roleAssignmentMode AbacRepositoryPermissions). AcrPull has no effect there.')
param usesAbac bool

@description('Repository that the identity may read, if the registry uses attribute-based access control.')
param repository string

var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'
var repositoryReader = 'b93aa761-3e63-49ed-ac28-beffa264f7ac'
var roleId = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', usesAbac ? repositoryReader : acrPull)

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, principalId, roleId)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: roleId
    description: 'Container Apps pulls the token broker\'s image.'
    condition: usesAbac
      ? '((!(ActionMatches{\'Microsoft.ContainerRegistry/registries/repositories/content/read\'}) AND !(ActionMatches{\'Microsoft.ContainerRegistry/registries/repositories/metadata/read\'})) OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEquals \'${repository}\'))'
      : null
    conditionVersion: usesAbac ? '2.0' : null
  }
}

@description('Server name, as in images.')
output loginServer string = registry.properties.loginServer
