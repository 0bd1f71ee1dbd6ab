// A job that a person or a pipeline starts, and that runs one command of the image once. Its end is "Succeeded" if the
// command's exit code is 0, else "Failed".

@description('Region.')
param location string

@description('Name of the job.')
param name string

@description('Tags.')
param tags object

@description('Resource id of the environment.')
param environmentId string

@description('Image of the broker.')
param image string

@description('Whether anyone can pull the image.')
param imageIsPublic bool

@description('Server of the registry that the pull identity reads; empty for a public image.')
param registryServer string

@description('Resource id of the identity under which the command runs.')
param identityId string

@description('Resource id of the identity that pulls the image.')
param pullIdentityId string

@description('The command and its options, such as doctor.')
param arguments array

@description('Variables of the container: name and value.')
param settings array

@secure()
@description('Text of the policy file; empty if the command reads none.')
param policy string = ''

@description('Whether the command reads the policy file.')
param hasPolicy bool = false

@secure()
@description('Text of the key ring file for Redis; empty without Redis.')
param cacheKeys string = ''

@description('Whether the command reads the key ring.')
param hasCacheKeys bool = false

resource job 'Microsoft.App/jobs@2026-01-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {}, '${pullIdentityId}': {} }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      manualTriggerConfig: { parallelism: 1, replicaCompletionCount: 1 }
      replicaTimeout: 300
      // The result of the first run counts.
      replicaRetryLimit: 0
      registries: imageIsPublic ? [] : [{ server: registryServer, identity: pullIdentityId }]
      identitySettings: [
        { identity: identityId, lifecycle: 'Main' }
        { identity: pullIdentityId, lifecycle: 'None' }
      ]
      secrets: concat(
        hasPolicy ? [{ name: 'policy', value: policy }] : [],
        hasCacheKeys ? [{ name: 'cache-keys', value: cacheKeys }] : []
      )
    }
    template: {
      containers: [
        {
          name: 'token-broker'
          image: image
          args: arguments
          env: settings
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
          volumeMounts: hasPolicy ? [{ volumeName: 'files', mountPath: '/etc/token-broker' }] : []
        }
      ]
      volumes: hasPolicy
        ? [
            {
              name: 'files'
              storageType: 'Secret'
              secrets: concat(
                [{ secretRef: 'policy', path: 'policy.yaml' }],
                hasCacheKeys ? [{ secretRef: 'cache-keys', path: 'cache-keys' }] : []
              )
            }
          ]
        : []
    }
  }
}

@description('Name of the job.')
output name string = job.name
