import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Config } from '../../config/config.ts'
import { codeOf, messageOf } from '../../errors.ts'
import { exchangeFailure } from '../../outbound/entra/entra-failure.ts'
import type { Egress } from '../../outbound/network/egress.ts'
import { failed, ok, type Checks, type Result, type Step } from '../checks.ts'
import { getDocument } from '../hops/document.ts'
import { textOfFailure } from '../failure-lines.ts'
import type { Plan, ProbedTarget } from '../targets.ts'

/**
 * Reads the open document of each tenant that is probed, which says whether the tenant exists, and in which cloud.
 *
 * @returns by the tenant's id
 */
export async function checkTenants(
  checks: Checks,
  {
    config,
    plan,
    reachable,
  }: { readonly config: Step<Config>; readonly plan: Step<Plan>; readonly reachable: Step<true> },
  egress: (config: Config) => Egress,
  clock: Clock,
): Promise<ReadonlyMap<string, Step<true>>> {
  const known = new Map<string, Step<true>>()
  if (!plan.ok || !config.ok || !reachable.ok) {
    await checks.run('tenants.known', { config, reachable, plan }, () => ok(true, ''))
    return known
  }
  let isDown = false
  for (const target of plan.value.targets) {
    if (known.has(target.tenant)) continue
    if (isDown) {
      known.set(target.tenant, checks.skip('tenants.known', noResponse, target.tenantName))
      continue
    }
    const step = await checks.run('tenants.known', { config }, (values, signal) =>
      readTenant(target, values.config, egress(values.config), clock, signal, () => (isDown = true)),
    )
    known.set(target.tenant, step)
  }
  for (const subject of plan.value.ungranted)
    checks.add('tenants.known', { status: 'skipped', subject, text: 'no rule of the policy grants a token for it' })
  if (plan.value.targets.length === 0 && plan.value.ungranted.length === 0)
    checks.add('tenants.known', { status: 'skipped', text: 'the policy names no tenant: use --tenant with an id' })
  return known
}

/** Why the other tenants are not checked, once one request had no response. */
const noResponse = { because: 'tenants.known', text: 'tenants.known of another tenant: no response' } as const

async function readTenant(
  target: ProbedTarget,
  { authority, upstreamTimeoutMs }: Config,
  egress: Egress,
  clock: Clock,
  outer: AbortSignal,
  down: () => void,
): Promise<Result<true>> {
  const url = new URL(`${authority}/${target.tenant}/v2.0/.well-known/openid-configuration`)
  const subject = target.tenantName
  const signal = AbortSignal.any([outer, AbortSignal.timeout(upstreamTimeoutMs)])
  try {
    const response = await getDocument(url, egress, clock, signal)
    if (response.status !== 200) {
      const error = exchangeFailure(response, undefined, { target, authority, assertion: '' }, clock.now())
      const fix = error.parts.remedy ?? `curl ${url.href}`
      return failed({ subject, text: textOfFailure(error), fix: [fix] })
    }
    const { token_endpoint: endpoint } = membersOfJson(response.body)
    const origin = typeof endpoint === 'string' && URL.canParse(endpoint) ? new URL(endpoint).origin : undefined
    if (origin === authority) return ok(true, `the tenant ${target.tenant} exists`, subject)
    return failed({
      subject,
      text: `the tenant ${target.tenant} is in another cloud: its token endpoint is at ${origin ?? 'no URL'}`,
      advice: `BROKER_AUTHORITY is ${authority}. A federated credential does not work across clouds: one broker serves one cloud.`,
      fix: [`remove tenant ${subject} from the policy of this broker, or correct its id`],
    })
  } catch (thrown) {
    down()
    const why = signal.aborted ? 'time-out' : (codeOf(thrown) ?? messageOf(thrown))
    return failed({ subject, text: `no response of ${url.host} (${why})`, fix: [`curl ${url.href}`] })
  }
}
