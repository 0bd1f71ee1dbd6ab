import type { EnvironmentReader } from './environment.ts'

/** With which client people sign in to the dashboard at an issuer of the policy. Nothing in it is secret. */
export interface DashboardSettings {
  /** The dashboard's client id at the issuer: a public client, without a secret. */
  readonly clientId: string
  /** The issuer's name in the policy. Without it, the policy has one issuer only. */
  readonly issuer: string | undefined
  /** The scopes that the page requests besides `openid`, separated by spaces. Without it, the issuer's kind decides. */
  readonly scope: string | undefined
}

const clientIdName = 'BROKER_DASHBOARD_CLIENT_ID'
const others = ['BROKER_DASHBOARD_ISSUER', 'BROKER_DASHBOARD_SCOPE'] as const

/** RFC 6749 appendix A.1 without the space, and A.4. */
const clientId = /^[\x21-\x7e]{1,255}$/
const scope = /^[\x21\x23-\x5b\x5d-\x7e]{1,500}(?: [\x21\x23-\x5b\x5d-\x7e]{1,500}){0,9}$/

/** Reads `BROKER_DASHBOARD_…`. Returns `undefined` without the client id: then people paste a credential. */
export function readDashboard(read: EnvironmentReader): DashboardSettings | undefined {
  const id = read.text(clientIdName)
  const [issuer, scopes] = others.map(name => read.text(name))
  if (id === undefined) {
    for (const name of others)
      if (read.text(name) !== undefined) read.addError(name, `has no effect without ${clientIdName}`)
    return undefined
  }
  if (!clientId.test(id)) read.addError(clientIdName, `must be a client id of at most 255 characters; got "${id}"`)
  if (scopes !== undefined && !scope.test(scopes))
    read.addError(
      'BROKER_DASHBOARD_SCOPE',
      `must be at most 10 scopes separated by single spaces, such as api://token-broker/.default; got "${scopes}"`,
    )
  return Object.freeze({ clientId: id, issuer, scope: scopes })
}
