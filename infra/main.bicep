// The token broker on Azure Container Apps, with everything that it needs. README.md beside this file says how to deploy it.
targetScope = 'subscription'

import { authorityOf } from 'modules/clouds.bicep'

@description('Region of all resources.')
param location string = deployment().location

@minLength(3)
@maxLength(18)
@description('Name of the broker\'s app, and the beginning of all other names.')
param name string = 'token-broker'

@description('Resource group of everything but the broker\'s identity.')
param resourceGroupName string = name

@description('Resource group of the broker\'s identity, which must contain nothing else: rights on the group are rights on the identity.')
param identityResourceGroupName string = '${name}-identity'

@description('Tags of all resources.')
param tags object = {}

@description('Image of the broker. Empty: deploy everything else, so that the image can be built in the registry first.')
param image string = ''

@secure()
@description('Text of the policy file.')
param policy string

@description('Whether to create the registrations in Entra too (entra.bicep). The policy may then have the ids of placeholders (infra/README.md) in place of those that the deployment creates.')
param registrations bool = false

@description('The registrations, if they are created.')
param registration registrationType = {}

@description('Subnet of the environment, by resource id: delegated to Microsoft.App/environments, at least a /27. Empty: create a network.')
param infrastructureSubnetId string = ''

@description('Subnet of private endpoints, by resource id, in the same network. Required with infrastructureSubnetId and redis.')
param endpointSubnetId string = ''

@description('Address range of the network that is created, at least a /24.')
param addressPrefix string = '10.90.0.0/24'

@description('Whether the whole virtual network can call the broker, and not only apps of its environment. Never the internet.')
param callersInNetwork bool = false

@description('Resource ids of further virtual networks whose callers resolve the broker\'s name, such as one that is peered. Only with callersInNetwork.')
param callerNetworkIds string[] = []

@description('An existing registry, by resource id. Empty: create one.')
param registryId string = ''

@description('Whether the existing registry uses attribute-based access control, so that AcrPull has no effect.')
param registryUsesAbac bool = false

@description('Pricing tier of the registry that is created.')
param registrySku 'Basic' | 'Standard' | 'Premium' = 'Standard'

@description('Whether anyone can pull the image: no registry is created, and no role assigned.')
param imageIsPublic bool = false

@description('Whether replicas are spread over availability zones. The region must have them, and it cannot be changed later.')
param zoneRedundant bool = true

@minValue(1)
@maxValue(300)
@description('Least number of replicas.')
param minReplicas int = 2

@minValue(1)
@maxValue(300)
@description('Largest number of replicas.')
param maxReplicas int = 4

@description('CPU cores of a replica.')
param cpu '0.5' | '1.0' | '1.5' | '2.0' = '0.5'

@description('Memory of a replica: two GiB for each core.')
param memory '1Gi' | '2Gi' | '3Gi' | '4Gi' = '1Gi'

@minValue(0)
@maxValue(500)
@description('BROKER_DRAIN_SECONDS. The platform waits longer before it ends a replica.')
param drainSeconds int = 10

@description('BROKER_AUDIT.')
param audit 'every' | 'summary' = 'every'

@description('LOG_LEVEL.')
param logLevel 'info' | 'trace' | 'debug' | 'warn' | 'error' | 'fatal' = 'info'

@description('Further variables of the broker, by name.')
param settings settingsType = {}

@description('Whether replicas share tokens in Azure Managed Redis.')
param redis bool = false

@description('Size of Redis.')
param redisSku string = 'Balanced_B0'

@description('Whether Redis has a second node.')
param redisHighAvailability bool = true

@description('Private DNS zone privatelink.redis.azure.net, by resource id, that the network already resolves. Empty: create one.')
param redisZoneId string = ''

@secure()
@description('Text of the key ring (token-broker key cache). Required with redis.')
param cacheKeys string = ''

@description('Image of an OpenTelemetry collector beside the broker, with its digest: every container of a replica can use the broker\'s identity. Empty: none. The agent that Container Apps manages exists in preview versions of its API only.')
param collectorImage string = ''

@secure()
@description('Text of the collector\'s configuration. Required with collectorImage.')
param collectorConfig string = ''

@description('Whether to create alerts and a workbook.')
param monitoring bool = true

@description('Addresses that get an email when an alert fires.')
param alertEmails string[] = []

@description('Log Analytics workspace for all logs, by resource id. Empty: create one.')
param workspaceId string = ''

@minValue(30)
@maxValue(730)
@description('Days for which the workspace that is created keeps logs, and so the audit log.')
param retentionInDays int = 90

@description('Tenant for which the doctor\'s job tries an exchange; empty for none.')
param doctorTenant string = ''

@description('Whether to create a first caller: an identity, and a job that requests one token with it and prints everything but the token.')
param firstCaller bool = false

@description('What the first caller requests: a tenant and a scope of the policy.')
param firstRequest { tenant: string, scope: string } = { tenant: 'home', scope: 'graph' }

@description('Client id of the broker\'s API, for the first caller. Not needed with registrations.')
param apiClientId string = ''

@description('The service\'s name in azure.yaml. Empty without azd.')
param azdService string = ''

@description('Whether people sign in to the dashboard with Entra. Requires registrations, and callersInNetwork to be of use. With registrations made elsewhere, set settings.BROKER_DASHBOARD_CLIENT_ID instead.')
param dashboardSignIn bool = false

@sealed()
@description('Parameters of entra.bicep.')
type registrationType = {
  @description('Display name of the multi-tenant application.')
  applicationName: string?

  @description('Page to which Entra sends an administrator after the consent.')
  consentRedirectUri: string?

  @description('Application permissions of Microsoft Graph that customers consent to.')
  graphPermissions: string[]?

  @description('Permissions of other APIs that customers consent to, as in the application\'s manifest.')
  otherPermissions: array?

  @description('Principal ids of the callers that get the role Broker.Tokens.')
  callerPrincipalIds: string[]?

  @description('Principal ids of applications, people and groups that get the role Broker.Observe; people and groups only with dashboardSignIn.')
  observerPrincipalIds: string[]?
}

@sealed()
@description('Variables of docs/configuration.md that have no parameter of their own. A misspelt name does not compile.')
type settingsType = {
  BROKER_CACHE_MAX_ENTRIES: string?
  BROKER_MIN_REMAINING_SECONDS: string?
  BROKER_UPSTREAM_TIMEOUT_MS: string?
  BROKER_UPSTREAM_CONCURRENCY: string?
  BROKER_DASHBOARD_CLIENT_ID: string?
  BROKER_DASHBOARD_ISSUER: string?
  BROKER_DASHBOARD_SCOPE: string?
  HTTPS_PROXY: string?
  NO_PROXY: string?
  OTEL_EXPORTER_OTLP_ENDPOINT: string?
  OTEL_TRACES_SAMPLER: string?
  OTEL_TRACES_SAMPLER_ARG: string?
  OTEL_SERVICE_NAME: string?
}

// A policy that was written before the registrations exist has these in place of their ids.
var placeholders = {
  application: '00000000-0000-0000-0000-00000000000a'
  api: '00000000-0000-0000-0000-00000000000b'
  homeTenant: '00000000-0000-0000-0000-00000000000c'
  dashboard: '00000000-0000-0000-0000-00000000000d'
}
var authority = authorityOf(environment().name, environment().authentication.loginEndpoint)
var hasImage = !empty(image)
var createNetwork = empty(infrastructureSubnetId)
var createRegistry = empty(registryId) && !imageIsPublic
var keyRing = redis && empty(cacheKeys) ? fail('redis requires cacheKeys') : (redis ? cacheKeys : '')
var policyWithIds = !registrations && contains(policy, placeholders.application)
  ? fail('policy has a placeholder, which only registrations = true replaces')
  : policy
var endpointSubnet = redis && !createNetwork && empty(endpointSubnetId)
  ? fail('redis in an existing network requires endpointSubnetId')
  : endpointSubnetId
var signsIn = dashboardSignIn && !registrations ? fail('dashboardSignIn requires registrations') : dashboardSignIn
var callerAudience = firstCaller && !registrations && empty(apiClientId)
  ? fail('firstCaller requires apiClientId, or registrations')
  : apiClientId
var collectorText = !empty(collectorImage) && empty(collectorConfig)
  ? fail('collectorImage requires collectorConfig')
  : collectorConfig
var collector = empty(collectorImage) || contains(collectorImage, '@sha256:')
  ? collectorImage
  : fail('collectorImage requires a digest, because the collector can use the broker\'s identity')

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

resource identityGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: identityResourceGroupName
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  scope: identityGroup
  params: { location: location, name: name, tags: tags, lock: true }
}

module pullIdentity 'modules/identity.bicep' = {
  scope: group
  params: { location: location, name: '${name}-pull', tags: tags, lock: false }
}

module callerIdentity 'modules/identity.bicep' = if (firstCaller) {
  scope: group
  params: { location: location, name: '${name}-first-caller', tags: tags, lock: false }
}

module entra 'entra.bicep' = if (registrations) {
  params: {
    name: name
    applicationName: registration.?applicationName ?? name
    apiName: '${name}-api'
    consentRedirectUri: registration.?consentRedirectUri ?? 'https://www.example.com/consented'
    graphPermissions: registration.?graphPermissions ?? []
    otherPermissions: registration.?otherPermissions ?? []
    identityPrincipalId: identity.outputs.principalId
    callerPrincipalIds: concat(
      registration.?callerPrincipalIds ?? [],
      firstCaller ? [callerIdentity!.outputs.principalId] : []
    )
    observerPrincipalIds: registration.?observerPrincipalIds ?? []
    dashboardRedirectUri: signsIn ? 'https://${host}/dashboard' : ''
  }
}

module workspace 'modules/workspace.bicep' = if (empty(workspaceId)) {
  scope: group
  params: { location: location, name: name, tags: tags, retentionInDays: retentionInDays }
}
var logsId = empty(workspaceId) ? workspace!.outputs.id : workspaceId

module network 'modules/network.bicep' = if (createNetwork) {
  scope: group
  params: { location: location, name: name, tags: tags, addressPrefix: addressPrefix }
}
var networkId = createNetwork ? network!.outputs.id : split(infrastructureSubnetId, '/subnets/')[0]

var registryParts = split(registryId, '/')
var registryName = createRegistry
  ? take('${replace(name, '-', '')}${uniqueString(subscription().id, resourceGroupName)}', 50)
  : last(registryParts)

module registry 'modules/registry.bicep' = if (createRegistry) {
  scope: group
  params: {
    location: location
    name: registryName
    tags: tags
    sku: registrySku
    workspaceId: logsId
  }
}

module pullRole 'modules/pull-role.bicep' = if (!imageIsPublic) {
  scope: resourceGroup(
    createRegistry ? subscription().subscriptionId : registryParts[2],
    createRegistry ? resourceGroupName : registryParts[4]
  )
  dependsOn: [registry]
  params: {
    registryName: registryName
    principalId: pullIdentity.outputs.principalId
    usesAbac: !createRegistry && registryUsesAbac
    repository: name
  }
}
var registryServer = imageIsPublic ? '' : pullRole!.outputs.loginServer

module containerEnvironment 'modules/environment.bicep' = {
  scope: group
  params: {
    location: location
    name: name
    tags: tags
    infrastructureSubnetId: createNetwork ? network!.outputs.infrastructureSubnetId : infrastructureSubnetId
    zoneRedundant: zoneRedundant
    workspaceId: logsId
  }
}

var host = '${name}.${callersInNetwork ? '' : 'internal.'}${containerEnvironment.outputs.defaultDomain}'

module dns 'modules/dns.bicep' = if (callersInNetwork) {
  scope: group
  params: {
    domain: containerEnvironment.outputs.defaultDomain
    tags: tags
    address: containerEnvironment.outputs.staticIp
    networkIds: concat([networkId], callerNetworkIds)
  }
}

module redisCluster 'modules/redis.bicep' = if (redis) {
  scope: group
  params: {
    location: location
    name: '${name}-${uniqueString(subscription().id, resourceGroupName)}'
    tags: tags
    sku: redisSku
    highAvailability: redisHighAvailability
    identityPrincipalId: identity.outputs.principalId
    endpointSubnetId: createNetwork ? network!.outputs.endpointSubnetId : endpointSubnet
    networkId: networkId
    existingZoneId: redisZoneId
    workspaceId: logsId
  }
}

var policyWithApplication = registrations
  ? replace(policyWithIds, placeholders.application, entra!.outputs.applicationClientId)
  : policyWithIds
var policyWithApi = registrations
  ? replace(policyWithApplication, placeholders.api, entra!.outputs.apiClientId)
  : policyWithApplication
var policyWithTenant = registrations
  ? replace(policyWithApi, placeholders.homeTenant, tenant().tenantId)
  : policyWithApi
var policyText = signsIn
  ? replace(policyWithTenant, placeholders.dashboard, entra!.outputs.dashboardClientId)
  : policyWithTenant

// An empty variable counts as absent.
var environmentVariables = [
  { name: 'BROKER_POLICY_FILE', value: '/etc/token-broker/policy.yaml' }
  { name: 'BROKER_IDENTITY_CLIENT_ID', value: identity.outputs.clientId }
  { name: 'BROKER_AUTHORITY', value: authority }
  { name: 'BROKER_BEHIND_TLS_PROXY', value: 'true' }
  { name: 'BROKER_PUBLIC_URL', value: 'https://${host}' }
  { name: 'BROKER_DRAIN_SECONDS', value: string(drainSeconds) }
  { name: 'BROKER_AUDIT', value: audit }
  { name: 'LOG_LEVEL', value: logLevel }
  { name: 'BROKER_REDIS_URL', value: redis ? redisCluster!.outputs.url : '' }
  { name: 'BROKER_REDIS_AUTH', value: redis ? 'entra' : '' }
  { name: 'BROKER_CACHE_KEY_FILE', value: redis ? '/etc/token-broker/cache-keys' : '' }
  { name: 'BROKER_CACHE_MAX_ENTRIES', value: settings.?BROKER_CACHE_MAX_ENTRIES ?? '' }
  { name: 'BROKER_MIN_REMAINING_SECONDS', value: settings.?BROKER_MIN_REMAINING_SECONDS ?? '' }
  { name: 'BROKER_UPSTREAM_TIMEOUT_MS', value: settings.?BROKER_UPSTREAM_TIMEOUT_MS ?? '' }
  { name: 'BROKER_UPSTREAM_CONCURRENCY', value: settings.?BROKER_UPSTREAM_CONCURRENCY ?? '' }
  {
    name: 'BROKER_DASHBOARD_CLIENT_ID'
    value: signsIn ? entra!.outputs.dashboardClientId : (settings.?BROKER_DASHBOARD_CLIENT_ID ?? '')
  }
  { name: 'BROKER_DASHBOARD_ISSUER', value: settings.?BROKER_DASHBOARD_ISSUER ?? '' }
  { name: 'BROKER_DASHBOARD_SCOPE', value: settings.?BROKER_DASHBOARD_SCOPE ?? '' }
  { name: 'HTTPS_PROXY', value: settings.?HTTPS_PROXY ?? '' }
  { name: 'NO_PROXY', value: settings.?NO_PROXY ?? '' }
  {
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT'
    value: settings.?OTEL_EXPORTER_OTLP_ENDPOINT ?? (empty(collector) ? '' : 'http://localhost:4318')
  }
  { name: 'OTEL_TRACES_SAMPLER', value: settings.?OTEL_TRACES_SAMPLER ?? '' }
  { name: 'OTEL_TRACES_SAMPLER_ARG', value: settings.?OTEL_TRACES_SAMPLER_ARG ?? '' }
  { name: 'OTEL_SERVICE_NAME', value: settings.?OTEL_SERVICE_NAME ?? '' }
]

var appTags = empty(azdService) ? tags : union(tags, { 'azd-service-name': azdService })

module app 'modules/app.bicep' = if (hasImage) {
  scope: group
  params: {
    location: location
    name: name
    tags: appTags
    environmentId: containerEnvironment.outputs.id
    image: image
    imageIsPublic: imageIsPublic
    registryServer: registryServer
    identityId: identity.outputs.id
    pullIdentityId: pullIdentity.outputs.id
    settings: environmentVariables
    policy: policyText
    cacheKeys: keyRing
    hasCacheKeys: redis
    callersInNetwork: callersInNetwork
    minReplicas: minReplicas
    maxReplicas: maxReplicas
    cpu: cpu
    memory: memory
    // The drain, then the exchanges that still run, and time to close.
    terminationGracePeriodSeconds: drainSeconds + int(settings.?BROKER_UPSTREAM_TIMEOUT_MS ?? '5000') / 1000 + 15
    collectorImage: collector
    collectorConfig: collectorText
  }
}

module placeholder 'modules/placeholder.bicep' = if (!hasImage && !empty(azdService)) {
  scope: group
  params: { location: location, name: name, tags: appTags, environmentId: containerEnvironment.outputs.id }
}

// Runs as the broker does: with its identity, variables and policy.
module doctor 'modules/job.bicep' = if (hasImage) {
  scope: group
  params: {
    location: location
    name: '${name}-doctor'
    tags: tags
    environmentId: containerEnvironment.outputs.id
    image: image
    imageIsPublic: imageIsPublic
    registryServer: registryServer
    identityId: identity.outputs.id
    pullIdentityId: pullIdentity.outputs.id
    arguments: empty(doctorTenant) ? ['doctor'] : ['doctor', '--tenant', doctorTenant]
    settings: environmentVariables
    policy: policyText
    hasPolicy: true
    cacheKeys: keyRing
    hasCacheKeys: redis
  }
}

module caller 'modules/job.bicep' = if (hasImage && firstCaller) {
  scope: group
  params: {
    location: location
    name: '${name}-first-caller'
    tags: tags
    environmentId: containerEnvironment.outputs.id
    image: image
    imageIsPublic: imageIsPublic
    registryServer: registryServer
    identityId: callerIdentity!.outputs.id
    pullIdentityId: pullIdentity.outputs.id
    arguments: [
      'token'
      '--broker'
      'https://${host}'
      '--tenant'
      firstRequest.tenant
      '--scope'
      firstRequest.scope
      '--managed-identity'
      '--client-id'
      callerIdentity!.outputs.clientId
      '--audience'
      registrations ? entra!.outputs.apiClientId : callerAudience
      '--output'
      'summary'
    ]
    settings: []
  }
}

module alerts 'modules/alerts.bicep' = if (monitoring) {
  scope: group
  params: {
    location: location
    name: name
    tags: tags
    appName: name
    hasApp: hasImage
    appId: hasImage ? app!.outputs.id : ''
    minReplicas: minReplicas
    workspaceId: logsId
    emails: alertEmails
  }
}

module workbook 'modules/workbook.bicep' = if (monitoring) {
  scope: group
  params: { location: location, title: 'Token broker ${name}', tags: tags, appName: name, workspaceId: logsId }
}

@description('Resource group of the broker.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Server of the registry; empty if the image is public.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registryServer

@description('Where callers reach the broker.')
output BROKER_URL string = 'https://${host}'

@description('Job that runs token-broker doctor; empty as long as there is no image.')
output BROKER_DOCTOR_JOB string = hasImage ? doctor!.outputs.name : ''

@description('Job that requests the first token; empty without one.')
output BROKER_FIRST_CALLER_JOB string = hasImage && firstCaller ? caller!.outputs.name : ''

@description('Principal id of the broker\'s identity: identityPrincipalId of entra.bicep.')
output BROKER_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('Client id of the multi-tenant application, if the registrations were created.')
output BROKER_APPLICATION_ID string = registrations ? entra!.outputs.applicationClientId : ''

@description('Client id of the broker\'s API, if the registrations were created.')
output BROKER_API_ID string = registrations ? entra!.outputs.apiClientId : ''
