import type { Config } from '../../config/config.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { BrokerError } from '../../errors.ts'
import type { Egress } from '../../outbound/network/egress.ts'
import type { Checks, Line, Result, Step } from '../checks.ts'
import { createExchanger, type Exchange, type Exchanger } from '../exchanges.ts'
import { failureLine, isOfApplication } from '../failure-lines.ts'
import type { IdentityFacts } from '../identity-claims.ts'
import { clientName, maxExchanges, maxTenants, type Plan, type ProbedTarget } from '../targets.ts'
import { consentLines } from '../consent-lines.ts'

/** What the exchanges need of the earlier checks. */
export interface FederationNeeds {
  readonly config: Step<Config>
  readonly reachable: Step<true>
  readonly clock: Step<true>
  readonly identity: Step<IdentityFacts>
  readonly plan: Step<Plan>
  readonly tenants: ReadonlyMap<string, Step<true>>
}

/** Milliseconds in which the last exchange must have ended before the check itself is overdue. */
const marginMs = 500

/**
 * Requests one token for each application and tenant of the plan, and reports first what concerns a whole application, then
 * what concerns a tenant.
 *
 * @returns the number of exchanges
 */
export async function checkFederation(
  checks: Checks,
  { tenants, ...needs }: FederationNeeds,
  egress: (config: Config) => Egress,
  clock: Clock,
): Promise<number> {
  let exchanger: Exchanger | undefined
  const { config, reachable, identity, plan } = needs
  const step = await checks.run(
    'federation.credential',
    { config, reachable, clock: needs.clock, identity, plan },
    async values => {
      const { authority, upstreamTimeoutMs } = values.config
      exchanger = createExchanger({
        authority,
        egress: egress(values.config),
        assertion: values.identity.assertion,
        clock,
        timeoutMs: () => Math.max(1, Math.min(upstreamTimeoutMs, checks.remainingMs() - marginMs)),
      })
      const probed = values.plan.targets.filter(({ tenant }) => tenants.get(tenant)?.ok !== false)
      const exchanges = await exchangeAll(probed, exchanger, checks)
      const context = { authority, identity: values.identity }
      return { lines: applicationLines(exchanges, context), value: { exchanges, context } } satisfies Result<unknown>
    },
    Number.POSITIVE_INFINITY,
  )
  if (!step.ok) checks.skip('consent.token', step)
  else if (plan.ok) reportTenants(checks, plan.value, tenants, step.value)
  return exchanger?.count() ?? 0
}

/** One exchange, or why there was none: an earlier one, or the time for all checks was over. */
export interface Outcome extends Exchange {
  /** Set if an earlier exchange has failed in a way that concerns this one too. */
  readonly skippedFor?: Exchange
}

/** Stops for an application once something concerns the whole application, and altogether once Entra does not respond. */
async function exchangeAll(
  targets: readonly ProbedTarget[],
  exchanger: Exchanger,
  checks: Checks,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  let down: Exchange | undefined
  const broken = new Map<string, Exchange>()
  for (const target of targets) {
    const skippedFor = down ?? broken.get(target.clientId)
    if (skippedFor !== undefined) {
      outcomes.push({ target, skippedFor })
      continue
    }
    if (checks.remainingMs() <= marginMs) {
      outcomes.push({ target })
      continue
    }
    const exchange = await exchanger.exchange(target)
    outcomes.push(exchange)
    if (concernsApplication(exchange)) broken.set(target.clientId, exchange)
    if (exchange.error?.handling.circuit === 'failure') down = exchange
  }
  return outcomes
}

/** By the same tables as the broker's negative cache. */
const concernsApplication = ({ error }: Exchange): boolean => error !== undefined && isOfApplication(error)

/** What a line can name. */
export interface ProbeContext {
  readonly authority: string
  readonly identity: IdentityFacts
}

/** One line for each application. */
function applicationLines(outcomes: readonly Outcome[], context: ProbeContext): readonly Line[] {
  const clientIds = new Set(outcomes.map(({ target }) => target.clientId))
  return [...clientIds].map(clientId =>
    applicationLine(
      outcomes.filter(({ target }) => target.clientId === clientId),
      context,
    ),
  )
}

function applicationLine(outcomes: readonly Outcome[], context: ProbeContext): Line {
  const subject = outcomes[0]?.target.application ?? ''
  const broken = outcomes.find(concernsApplication)
  if (broken?.error) return failureLine(broken.error, commandContext(broken.target, context), subject)
  if (outcomes.some(({ issued }) => issued))
    return { status: 'ok', subject, text: 'Entra accepts the federated credential' }
  if (isUnknownEverywhere(outcomes)) return unknownLine(outcomes, subject)
  return { status: 'skipped', subject, text: 'not known: no exchange came as far as the federated credential' }
}

/** What remedies and commands name. */
export const commandContext = (target: ProbedTarget, { authority, identity }: ProbeContext) => ({
  target,
  authority,
  assertion: identity.assertion.token,
  audience: identity.audience,
})

const unknownApplication = 700016
const missingPrincipal = 7000229

/** Whether several tenants do not know the application: then its client id is wrong, rather than their consent missing. */
export const isUnknownEverywhere = (outcomes: readonly Outcome[]): boolean =>
  outcomes.length > 1 &&
  outcomes.every(({ target, error }) => target.agentId === undefined && hasCode(error, unknownApplication))

const hasCode = (error: BrokerError | undefined, ...codes: readonly number[]): boolean =>
  codes.some(code => error?.parts.upstream?.codes?.includes(code) === true)

/** An agent identity exists in one tenant: it is unknown in the others that its rules name, which is no failure. */
const isOfAnotherTenant = ({ target, error }: Outcome, exchanges: readonly Outcome[]): boolean =>
  target.agentId !== undefined &&
  hasCode(error, unknownApplication, missingPrincipal) &&
  exchanges.some(each => each.target.agentId === target.agentId && each.issued === true)

const subjectOf = (target: ProbedTarget): string => `${target.tenantName}, ${clientName(target)}`

function unknownLine(outcomes: readonly Outcome[], subject: string): Line {
  const clientId = outcomes[0]?.target.clientId ?? ''
  return {
    status: 'failed',
    subject,
    text: `none of ${outcomes.length} tenants knows an application with client id ${clientId} (AADSTS${unknownApplication})`,
    advice: `Compare the client id with applications.${subject} of the policy. If it is right, no tenant has consented yet.`,
    fix: [`az ad app show --id ${clientId} --query "{name:displayName, audience:signInAudience}"`],
  }
}

function reportTenants(
  checks: Checks,
  { left, targets: planned }: Plan,
  tenants: FederationNeeds['tenants'],
  { exchanges, context }: { readonly exchanges: readonly Outcome[]; readonly context: ProbeContext },
): void {
  for (const target of planned) {
    const step = tenants.get(target.tenant)
    if (step?.ok === false) checks.skip('consent.token', step, subjectOf(target))
  }
  for (const outcome of exchanges) {
    const { target, skippedFor } = outcome
    const same = exchanges.filter(each => each.target.clientId === target.clientId)
    const isShared = concernsApplication(skippedFor ?? outcome) || isUnknownEverywhere(same)
    const subject = subjectOf(target)
    if (isShared) {
      checks.skip('consent.token', { because: 'federation.credential', text: 'federation.credential' }, subject)
    } else if (skippedFor) {
      checks.skip(
        'consent.token',
        { because: 'consent.token', text: `consent.token of ${skippedFor.target.tenantName}` },
        subject,
      )
    } else if (isOfAnotherTenant(outcome, exchanges)) {
      checks.add('consent.token', { status: 'skipped', subject, text: 'the agent identity is in another tenant' })
    } else if (outcome.issued === undefined && outcome.error === undefined) {
      const fix = [`token-broker doctor --tenant ${target.tenantName}`]
      checks.add('consent.token', { status: 'failed', subject, text: 'not made: the time for all checks is over', fix })
    } else {
      for (const { id, ...line } of consentLines(outcome, commandContext(target, context), subject))
        checks.add(id, line)
    }
  }
  if (left > 0) {
    const limits = `at most ${maxExchanges} tokens are requested, for the first ${maxTenants} tenants of the policy`
    const text = `${left} more tenants and applications are not checked: ${limits}; use --tenant for another`
    checks.add('consent.token', { status: 'skipped', text })
  }
}
