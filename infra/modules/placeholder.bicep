// An app that azd finds by its tag before the first image exists. It runs nothing: no replica, no ingress, no identity.

@description('Region.')
param location string

@description('Name of the app, which the broker has later.')
param name string

@description('Tags, with azd-service-name.')
param tags object

@description('Resource id of the environment.')
param environmentId string

resource app 'Microsoft.App/containerApps@2026-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: { activeRevisionsMode: 'Single' }
    template: {
      containers: [
        {
          name: 'token-broker'
          image: 'mcr.microsoft.com/k8se/quickstart:latest'
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
        }
      ]
      scale: { minReplicas: 0, maxReplicas: 1 }
    }
  }
}
