// The registrations in Entra: the multi-tenant application that acts in customers' tenants, with the broker's identity as
// its only credential, and the API that callers of the broker request a token for. Deploy it by itself, or through
// main.bicep with registrations = true. The deployer needs the Entra role Application Administrator.
targetScope = 'subscription'

extension microsoftGraphV1

import { authorityOf, exchangeAudiences } from 'modules/clouds.bicep'

@description('Beginning of the registrations\' unique names, and the last part of the API\'s URI. Each broker of a tenant needs its own.')
param name string = 'token-broker'

@maxLength(100)
@description('Display name of the multi-tenant application. Customers\' administrators see it when they consent.')
param applicationName string

@maxLength(100)
@description('Display name of the broker\'s API.')
param apiName string = 'token-broker-api'

@description('The page to which Entra sends an administrator after the consent. Without one, the consent fails.')
param consentRedirectUri string

@description('Application permissions of Microsoft Graph that customers consent to, such as User.Read.All.')
param graphPermissions array = []

@description('Permissions of other APIs that customers consent to, as in the application\'s manifest: resourceAppId, and resourceAccess with id and type Role.')
param otherPermissions array = []

@description('Principal id of the broker\'s identity.')
param identityPrincipalId string

@description('Principal ids of the callers that get the role Broker.Tokens, without which Entra issues them no token for the broker.')
param callerPrincipalIds array = []

@description('Principal ids of those that get the role Broker.Observe.')
param observerPrincipalIds array = []

@description('Page of the dashboard, to which Entra returns people who sign in. Empty: no registration for the dashboard.')
param dashboardRedirectUri string = ''

var hasDashboard = !empty(dashboardRedirectUri)
var graphId = '00000003-0000-0000-c000-000000000000'
var apiUri = 'api://${tenant().tenantId}/${name}'
var authority = authorityOf(environment().name, environment().authentication.loginEndpoint)

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: graphId
}

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: '${name}-application'
  displayName: applicationName
  signInAudience: 'AzureADMultipleOrgs'
  web: { redirectUris: [consentRedirectUri] }
  // An administrator of a customer's tenant cannot add a credential to the application's service principal there.
  servicePrincipalLockConfiguration: { isEnabled: true, allProperties: true }
  requiredResourceAccess: concat(
    empty(graphPermissions)
      ? []
      : [
          {
            resourceAppId: graphId
            resourceAccess: map(graphPermissions, permission => {
              id: first(filter(graph.appRoles, role => role.value == permission))!.id
              type: 'Role'
            })
          }
        ],
    otherPermissions
  )

  resource credential 'federatedIdentityCredentials' = {
    name: '${application.uniqueName}/token-broker-managed-identity'
    description: 'The managed identity of the token broker.'
    issuer: '${authority}${tenant().tenantId}/v2.0'
    subject: identityPrincipalId
    audiences: [exchangeAudiences[environment().name]]
  }
}

// In the home tenant, so that the exchange can be tried before a customer consents.
resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: application.appId
}

var tokensRoleId = guid('token-broker', 'Broker.Tokens')
var observeRoleId = guid('token-broker', 'Broker.Observe')
var dashboardScopeId = guid('token-broker', 'Broker.Dashboard')

resource api 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: '${name}-api'
  displayName: apiName
  signInAudience: 'AzureADMyOrg'
  identifierUris: [apiUri]
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: hasDashboard
      ? [
          {
            id: dashboardScopeId
            value: 'Broker.Dashboard'
            type: 'Admin'
            adminConsentDisplayName: 'Sign in to the dashboard'
            adminConsentDescription: 'Lets people with the role Broker.Observe see the dashboard.'
            isEnabled: true
          }
        ]
      : []
  }
  appRoles: [
    {
      id: tokensRoleId
      value: 'Broker.Tokens'
      displayName: 'Request tokens'
      description: 'Can request tokens; the policy decides which.'
      allowedMemberTypes: ['Application']
      isEnabled: true
    }
    {
      id: observeRoleId
      value: 'Broker.Observe'
      displayName: 'Observe the broker'
      description: 'Can read health, metrics and decisions; the policy decides.'
      allowedMemberTypes: hasDashboard ? ['Application', 'User'] : ['Application']
      isEnabled: true
    }
  ]
}

resource apiPrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: api.appId
  appRoleAssignmentRequired: true
}

resource callers 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for principalId in callerPrincipalIds: {
    appRoleId: tokensRoleId
    principalId: principalId
    resourceId: apiPrincipal.id
  }
]

resource observers 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for principalId in observerPrincipalIds: {
    appRoleId: observeRoleId
    principalId: principalId
    resourceId: apiPrincipal.id
  }
]

// A public client: a page, which has no secret.
resource dashboard 'Microsoft.Graph/applications@v1.0' = if (hasDashboard) {
  uniqueName: '${name}-dashboard'
  displayName: '${apiName} dashboard'
  signInAudience: 'AzureADMyOrg'
  spa: { redirectUris: [dashboardRedirectUri] }
  requiredResourceAccess: [
    { resourceAppId: api.appId, resourceAccess: [{ id: dashboardScopeId, type: 'Scope' }] }
  ]
}

resource dashboardPrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = if (hasDashboard) {
  appId: dashboard!.appId
}

// The consent, which Entra otherwise requests from each person. Who sees anything is decided by the role, and by the policy.
resource dashboardConsent 'Microsoft.Graph/oauth2PermissionGrants@v1.0' = if (hasDashboard) {
  clientId: dashboardPrincipal!.id
  consentType: 'AllPrincipals'
  resourceId: apiPrincipal.id
  scope: 'Broker.Dashboard'
}

@description('Client id of the dashboard: BROKER_DASHBOARD_CLIENT_ID; empty without one.')
output dashboardClientId string = hasDashboard ? dashboard!.appId : ''

@description('Client id of the multi-tenant application: applications in the policy.')
output applicationClientId string = application.appId

@description('Client id of the broker\'s API: audiences in the policy.')
output apiClientId string = api.appId

@description('What callers request a token for.')
output apiUri string = apiUri
