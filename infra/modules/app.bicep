// The broker's container app.

@description('Region.')
param location string

@description('Name of the app.')
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

@description('Resource id of the broker\'s identity: the credential of the multi-tenant application.')
param identityId string

@description('Resource id of the identity that pulls the image.')
param pullIdentityId string

@description('Variables of the broker\'s container: name and value.')
param settings array

@secure()
@description('Text of the policy file.')
param policy string

@secure()
@description('Text of the key ring file for Redis; empty without Redis.')
param cacheKeys string

@description('Whether the app has a key ring.')
param hasCacheKeys bool

@description('Whether the whole virtual network can reach the broker, and not only apps of its environment. The environment itself is internal.')
param callersInNetwork bool

@description('Least number of replicas.')
param minReplicas int

@description('Largest number of replicas.')
param maxReplicas int

@description('CPU cores of a replica, such as 0.5.')
param cpu string

@description('Memory of a replica, such as 1Gi: two GiB for each core.')
param memory string

@description('Seconds between SIGTERM and SIGKILL.')
param terminationGracePeriodSeconds int

@description('Image of an OpenTelemetry collector that runs beside the broker; empty for none. Every container of a replica can use the broker\'s identity, so the collector must be trusted as the broker is.')
param collectorImage string

@secure()
@description('Text of the collector\'s configuration file.')
param collectorConfig string

var broker = {
  name: 'token-broker'
  image: image
  resources: { cpu: json(cpu), memory: memory }
  env: settings
  volumeMounts: [{ volumeName: 'files', mountPath: '/etc/token-broker' }]
  probes: [
    {
      type: 'Startup'
      httpGet: { path: '/livez', port: 8080 }
      // Container Apps accepts ten failures at most: half a minute.
      periodSeconds: 3
      failureThreshold: 10
    }
    {
      type: 'Liveness'
      httpGet: { path: '/livez', port: 8080 }
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 3
    }
    {
      type: 'Readiness'
      httpGet: { path: '/readyz', port: 8080 }
      periodSeconds: 2
      timeoutSeconds: 2
      // Two failures take a draining replica out of service within four seconds.
      failureThreshold: 2
      successThreshold: 1
    }
  ]
}

var collector = {
  name: 'collector'
  image: collectorImage
  args: ['--config=/etc/otelcol/config.yaml']
  resources: { cpu: json('0.25'), memory: '0.5Gi' }
  volumeMounts: [{ volumeName: 'collector', mountPath: '/etc/otelcol' }]
}

var containers = empty(collectorImage) ? [broker] : [broker, collector]

var volumes = concat(
  [
    {
      name: 'files'
      storageType: 'Secret'
      secrets: concat(
        [{ secretRef: 'policy', path: 'policy.yaml' }],
        hasCacheKeys ? [{ secretRef: 'cache-keys', path: 'cache-keys' }] : []
      )
    }
  ],
  empty(collectorImage)
    ? []
    : [
        {
          name: 'collector'
          storageType: 'Secret'
          secrets: [{ secretRef: 'collector-config', path: 'config.yaml' }]
        }
      ]
)

var scale = {
  minReplicas: minReplicas
  maxReplicas: maxReplicas
  rules: [{ name: 'requests', http: { metadata: { concurrentRequests: '200' } } }]
}

// Container Apps refuses a suffix that another template had. A new policy is a new revision: the old one serves until the
// new one is ready.
var hash = uniqueString(
  string(containers),
  string(volumes),
  string(scale),
  string(terminationGracePeriodSeconds),
  policy,
  cacheKeys,
  collectorConfig
)

resource app 'Microsoft.App/containerApps@2026-01-01' = {
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
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 10
      ingress: {
        external: callersInNetwork
        allowInsecure: false
        targetPort: 8080
        transport: 'http'
        clientCertificateMode: 'ignore'
        traffic: [{ latestRevision: true, weight: 100 }]
      }
      registries: imageIsPublic ? [] : [{ server: registryServer, identity: pullIdentityId }]
      identitySettings: [
        { identity: identityId, lifecycle: 'Main' }
        // No container gets a token of this identity.
        { identity: pullIdentityId, lifecycle: 'None' }
      ]
      secrets: concat(
        [{ name: 'policy', value: policy }],
        hasCacheKeys ? [{ name: 'cache-keys', value: cacheKeys }] : [],
        empty(collectorImage) ? [] : [{ name: 'collector-config', value: collectorConfig }]
      )
    }
    template: {
      revisionSuffix: 'r${hash}'
      terminationGracePeriodSeconds: terminationGracePeriodSeconds
      containers: containers
      volumes: volumes
      scale: scale
    }
  }
}

@description('Resource id.')
output id string = app.id
