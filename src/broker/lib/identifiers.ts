/** The textual forms of the nouns that requests and the policy share. */

/** A GUID in any case. */
export const guidPattern = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'

const guid = new RegExp(`^${guidPattern}$`)
const guids = new RegExp(guidPattern, 'g')

/** A name that the policy gives to a tenant, an application or an issuer. */
export const namePattern = '[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?'

const name = new RegExp(`^${namePattern}$`)

/** Entra's words for "any tenant", which are never one tenant. As names they are refused too. */
const sharedTenants = ['common', 'organizations', 'consumers']

/** What names one tenant: its id in any case, or its name in the policy. */
export const tenantPattern = `(?!(?:${sharedTenants.join('|')})$)(?:${guidPattern}|${namePattern})`

/** One resource's `.default`: the only form of scope the client-credentials grant takes. */
export const scopePattern = '[\\x21-\\x7e]{1,480}/\\.default'

export const isGuid = (text: string): boolean => guid.test(text)
/** Whether `text` can be a name; one that reads as a GUID cannot. */
export const isName = (text: string): boolean => name.test(text) && !guid.test(text)
export const isSharedTenant = (text: string): boolean => sharedTenants.includes(text)

/** The resource that a scope names: `https://graph.microsoft.com/.default` → `https://graph.microsoft.com`. */
export const resourceOf = (scopeText: string): string => scopeText.slice(0, -'/.default'.length)

/** Every GUID in a text, in lower case. */
export const guidsIn = (text: string): readonly string[] => (text.match(guids) ?? []).map(each => each.toLowerCase())

/** Hosts whose tokens follow Entra's rules: `azp`/`appid` required, delegated tokens refused. */
const entraHosts = new Set([
  'login.microsoftonline.com',
  'login.microsoftonline.us',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
  'sts.windows.net',
  'sts.chinacloudapi.cn',
])

/** Whether an issuer is Entra, in any cloud, of version 1 or 2. */
export const isEntraIssuer = (issuer: string): boolean =>
  URL.canParse(issuer) && entraHosts.has(new URL(issuer).hostname)
