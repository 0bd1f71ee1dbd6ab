/** The formats of identifiers that requests and the policy have in common. */

/** A regular expression for a GUID in any case. */
export const guidPattern = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'

const guid = new RegExp(`^${guidPattern}$`)
const guids = new RegExp(guidPattern, 'g')

/** A regular expression for a name of the policy: of a tenant, an application, a scope, an issuer or an API key. */
export const namePattern = '[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?'

const name = new RegExp(`^${namePattern}$`)

/** Entra's reserved words, which never stand for one tenant. They are refused as names too. */
const sharedTenants = ['common', 'organizations', 'consumers']

/** A regular expression for one tenant: its id in any case, or its name in the policy. */
export const tenantPattern = `(?!(?:${sharedTenants.join('|')})$)(?:${guidPattern}|${namePattern})`

/** A regular expression for one resource's `.default`, the only form of scope that the client-credentials grant accepts. */
export const scopePattern = '[\\x21-\\x7e]{1,480}/\\.default'

/**
 * A regular expression for a scope in requests and in the policy: {@link scopePattern}, or a name under `scopes`. A name has
 * no slash, so it is never a scope itself.
 */
export const scopeOrNamePattern = `(?:${scopePattern}|(?!${guidPattern}$)${namePattern})`

/** Whether a text that matches {@link scopeOrNamePattern} is a name, and not a scope itself. */
export const isScopeName = (text: string): boolean => !text.includes('/')

/** Whether the whole `text` is a GUID, in any case. */
export const isGuid = (text: string): boolean => guid.test(text)
/** Whether `text` can be a name. A GUID cannot. */
export const isName = (text: string): boolean => name.test(text) && !guid.test(text)
/** Whether `text`, which must be in lower case, is one of Entra's reserved words. */
export const isSharedTenant = (text: string): boolean => sharedTenants.includes(text)

/**
 * The resource of a scope, which must end with `/.default`: `https://graph.microsoft.com/.default` →
 * `https://graph.microsoft.com`.
 */
export const resourceOf = (scopeText: string): string => scopeText.slice(0, -'/.default'.length)

/** Every GUID in a text, in lower case. */
export const guidsIn = (text: string): readonly string[] => (text.match(guids) ?? []).map(each => each.toLowerCase())

/** A resource without what Entra ignores in it: case, `spn:` in front, slashes at the end. */
export const comparable = (text: string): string =>
  text
    .toLowerCase()
    .replace(/^(?:spn:)+/, '')
    .replace(/\/+$/, '')

/** The audience of client assertions by its URIs, in each cloud, and as a client id. */
const exchangeAudience = 'api://azureadtokenexchange'
const exchangeClientId = 'fb60f99c-7a34-4190-8149-302f77469936'

/** Whether an audience is that of client assertions: Entra would accept a token for it as the application's credential. */
export function isExchange(audience: string): boolean {
  const text = comparable(audience)
  return text.startsWith(exchangeAudience) || guidsIn(text).includes(exchangeClientId)
}

/**
 * Hosts of Entra's issuers and of its token endpoints, in every cloud and under every alias. Their tokens must have `azp`
 * or `appid`, and delegated tokens are refused.
 */
const entraHosts = new Set([
  'login.microsoftonline.com',
  'login-us.microsoftonline.com',
  'login.microsoft.com',
  'login.windows.net',
  'sts.windows.net',
  'login.microsoftonline.us',
  'login.usgovcloudapi.net',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
  'sts.chinacloudapi.cn',
  'login.microsoftonline.de',
  'sts.microsoftonline.de',
])

/** Domains below which every host is Entra's: the sovereign clouds, External ID, and Azure AD B2C. */
const entraDomain = /(?:^|\.)(?:sovcloud-identity\.(?:fr|de|sg)|ciamlogin\.(?:com|us|cn)|b2clogin\.(?:com|us|cn|de))$/

/** The path of Entra's v2.0 issuers. Customers of External ID and B2C may have them under a domain of their own. */
const entraPath = new RegExp(`^/(?:tfp/)?${guidPattern}/(?:[^/]+/)?v2\\.0/?$`)

/**
 * Whether an issuer is Entra: in any cloud, External ID or B2C, with v1.0 or v2.0 tokens. Under a domain of its customer,
 * the path of the issuer decides.
 */
export const isEntraIssuer = (issuer: string): boolean =>
  isAtEntraHost(issuer) || (URL.canParse(issuer) && entraPath.test(new URL(issuer).pathname))

/** Whether the host of an issuer is one of Entra's own. */
export function isAtEntraHost(issuer: string): boolean {
  const host = URL.canParse(issuer) ? new URL(issuer).hostname.replace(/\.$/, '') : ''
  return entraHosts.has(host) || entraDomain.test(host)
}
