import type { Clock } from '../broker/lib/clock.ts'
import type { IssuerSettings, Policy } from '../broker/policy/model.ts'
import type { SignIn } from '../broker/sign-in.ts'
import type { Config } from '../config/config.ts'
import type { ConfigurationError } from '../errors.ts'
import { createSignIn } from '../outbound/issuers/sign-in-server.ts'
import type { Egress } from '../outbound/network/egress.ts'
import type { Logs } from '../telemetry/log.ts'

/** The log message while the issuer's metadata cannot be read. */
export const signInUnavailable = 'people cannot sign in to the dashboard with the issuer: its metadata cannot be read'

/**
 * The error of a policy in which the dashboard's issuer is not clear; none if it is. It prevents a start only: a policy that
 * removes the issuer later takes effect, and ends signing in with it.
 */
export function signInErrors({ dashboard }: Config, { issuers }: Policy): readonly ConfigurationError[] {
  if (dashboard === undefined || issuerOf(dashboard.issuer, issuers) !== undefined) return []
  const names = issuers.map(({ name }) => name).join(', ')
  if (issuers.length === 0)
    return [{ where: 'BROKER_DASHBOARD_CLIENT_ID', what: 'has no effect, because the policy has no issuers' }]
  const what =
    dashboard.issuer === undefined
      ? `is required with BROKER_DASHBOARD_CLIENT_ID, because the policy has several issuers: ${names}`
      : `must be the name of an issuer of the policy: ${names}; got "${dashboard.issuer}"`
  return [{ where: 'BROKER_DASHBOARD_ISSUER', what }]
}

const issuerOf = (name: string | undefined, issuers: readonly IssuerSettings[]): IssuerSettings | undefined =>
  name === undefined && issuers.length === 1 ? issuers[0] : issuers.find(issuer => issuer.name === name)

/**
 * Returns what says how people sign in with the issuer of the active policy. Fetches the issuer's metadata at once, so that the
 * first page has it.
 */
export function connectSignIn(
  { dashboard, upstreamTimeoutMs: timeoutMs }: Config,
  policy: () => Policy,
  { clock, egress, log }: { readonly clock: Clock; readonly egress: Egress; readonly log: Logs['log'] },
): () => SignIn | undefined {
  if (dashboard === undefined) return () => undefined
  const find = createSignIn({
    ...dashboard,
    issuer: () => issuerOf(dashboard.issuer, policy().issuers),
    egress,
    timeoutMs,
    clock,
    failed: err => log.warn({ err }, signInUnavailable),
  })
  find()
  return find
}
