/**
 * Entra's origin in each cloud, with the audience of its token exchange. The audiences of the sovereign clouds are from the source
 * of the Azure SDKs; Microsoft's documentation does not list them.
 */
export const clouds: ReadonlyMap<string, string> = new Map([
  ['https://login.microsoftonline.com', 'api://AzureADTokenExchange'],
  ['https://login.microsoftonline.us', 'api://AzureADTokenExchangeUSGov'],
  ['https://login.partner.microsoftonline.cn', 'api://AzureADTokenExchangeChina'],
  ['https://login.sovcloud-identity.fr', 'api://AzureADTokenExchangeFrance'],
  ['https://login.sovcloud-identity.de', 'api://AzureADTokenExchangeGermany'],
  ['https://login.sovcloud-identity.sg', 'api://AzureADTokenExchangeGovSG'],
])

/** The resource of token exchange at an authority; that of the public cloud for one that is not Entra's own. */
export const tokenExchangeOf = (authority: string): string => clouds.get(authority) ?? 'api://AzureADTokenExchange'
