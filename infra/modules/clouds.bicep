// What differs between Azure's clouds. src/config/clouds.ts has the same values; a test compares them.

@export()
@description('Entra\'s origin, with a slash behind it. Azure\'s own value for China names a host that is no longer used.')
func authorityOf(cloud string, loginEndpoint string) string =>
  cloud == 'AzureChinaCloud' ? 'https://login.partner.microsoftonline.cn/' : loginEndpoint

@export()
@description('The audience of identity tokens that Entra accepts as a federated credential, by cloud.')
var exchangeAudiences = {
  AzureCloud: 'api://AzureADTokenExchange'
  AzureUSGovernment: 'api://AzureADTokenExchangeUSGov'
  AzureChinaCloud: 'api://AzureADTokenExchangeChina'
}
