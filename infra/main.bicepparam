// The smallest set of parameters, which azd uses. azd sets the AZURE_… variables, and SERVICE_BROKER_IMAGE_NAME once it has
// built the image. Set the others with "azd env set", or change them here.
using 'main.bicep'

param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param tags = { 'azd-env-name': readEnvironmentVariable('AZURE_ENV_NAME', 'token-broker') }
param azdService = 'broker'
param image = readEnvironmentVariable('SERVICE_BROKER_IMAGE_NAME', '')
param policy = loadTextContent('policy.yaml')
param registrations = bool(readEnvironmentVariable('BROKER_REGISTRATIONS', 'true'))
param registration = {
  applicationName: readEnvironmentVariable('BROKER_APPLICATION_NAME', 'Token broker')
  consentRedirectUri: readEnvironmentVariable('BROKER_CONSENT_REDIRECT_URI', 'https://www.example.com/consented')
  graphPermissions: ['User.Read.All']
}
param zoneRedundant = bool(readEnvironmentVariable('BROKER_ZONE_REDUNDANT', 'true'))
param doctorTenant = readEnvironmentVariable('BROKER_DOCTOR_TENANT', '')
param firstCaller = bool(readEnvironmentVariable('BROKER_FIRST_CALLER', 'true'))
// Only without the registrations.
param apiClientId = readEnvironmentVariable('BROKER_API_CLIENT_ID', '')
param dashboardSignIn = bool(readEnvironmentVariable('BROKER_DASHBOARD_SIGN_IN', 'false'))
