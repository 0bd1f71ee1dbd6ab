import { hasCredential } from '../../broker/lib/text/credential-shapes.ts'
import { nearestName } from '../../broker/lib/text/did-you-mean.ts'
import { isGuid } from '../../broker/lib/identifiers.ts'
import { validateExchangeAudience } from '../../broker/policy/file/validate.ts'
import type { Policy } from '../../broker/policy/model.ts'
import { readConfig, type Config } from '../../config/config.ts'
import type { Environment } from '../../config/environment.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../../errors.ts'
import { loadSettledPolicy } from '../../outbound/files/policy-file.ts'
import { failed, ok, type Checks, type Line, type Result, type Step } from '../checks.ts'
import { platformOf } from '../platform.ts'

/** What the environment and the policy file say. */
export interface Settings {
  readonly config: Step<Config>
  readonly policy: Step<Policy>
  /** The id of the tenant of `--tenant`; `undefined` without the option. */
  readonly tenant: Step<string | undefined>
  /** The errors of variables that the platform sets for the identity. */
  readonly platformErrors: readonly ConfigurationError[]
}

/** Lines of one check at most: a policy can have any number of errors. */
const maxLines = 20
/** Milliseconds: a policy that is being written is read once it is complete, within 20 s. */
const policyMs = 25_000

/** Reads the settings of `serve`, as it does, and reports every error. */
export async function checkSettings(checks: Checks, environment: Environment, tenant?: string): Promise<Settings> {
  const { config, errors, platformErrors } = readEnvironment(environment)
  const platform = platformOf(environment)
  const configured = await checks.run('settings.environment', {}, () =>
    config === undefined
      ? several(errors, where => platform.setVariable(where))
      : withWarnings(ok(config, 'the environment is valid'), config.warnings, [
          'correct the variable, or unset it: docs/configuration.md',
        ]),
  )
  const { BROKER_POLICY_FILE: file } = environment
  const policy = await checks.run(
    'settings.policy',
    file ? {} : { configured },
    () => readPolicy(file ?? '', configured.ok ? configured.value : undefined),
    policyMs,
  )
  return { config: configured, policy, tenant: await checkTenant(checks, policy, tenant), platformErrors }
}

/** Stands for variables that the platform has not set, so that the rest of the configuration can be read. */
const placeholders: Readonly<Record<string, string>> = {
  IDENTITY_ENDPOINT: 'http://absent.invalid',
  IDENTITY_HEADER: 'absent',
  AZURE_TENANT_ID: '00000000-0000-0000-0000-000000000000',
  AZURE_FEDERATED_TOKEN_FILE: '/absent',
}

/** Reads the configuration, also if nothing is wrong but that the platform has not set its variables. */
function readEnvironment(environment: Environment) {
  const { config, errors } = tryRead(environment)
  const platformErrors = errors.filter(({ where }) => Object.hasOwn(placeholders, where) && !environment[where])
  const others = errors.filter(error => !platformErrors.includes(error))
  if (config !== undefined || others.length > 0) return { config, errors: others, platformErrors }
  const absent = Object.fromEntries(platformErrors.map(({ where }) => [where, placeholders[where]]))
  return { ...tryRead({ ...environment, ...absent }), platformErrors }
}

function tryRead(environment: Environment): { config: Config | undefined; errors: readonly ConfigurationError[] } {
  try {
    return { config: readConfig(environment), errors: [] }
  } catch (thrown) {
    if (thrown instanceof InvalidConfigurationError) return { config: undefined, errors: thrown.errors }
    throw thrown
  }
}

function several(errors: readonly ConfigurationError[], fix: (where: string) => string): Result<never> {
  const lines = errors
    .slice(0, maxLines)
    .map(({ where, what }): Line => ({ status: 'failed', subject: where, text: what, fix: [fix(where)] }))
  const more = errors.length - lines.length
  if (more > 0) lines.push({ status: 'failed', text: `and ${more} more errors`, fix: ['correct those above first'] })
  return { lines, value: undefined }
}

/** A result with warnings as further lines. */
function withWarnings<T>(result: Result<T>, warnings: readonly string[], fix: readonly string[]): Result<T> {
  const lines = warnings.slice(0, maxLines).map((text): Line => ({ status: 'warning', text, fix }))
  return { ...result, lines: [...result.lines, ...lines] }
}

async function readPolicy(file: string, config: Config | undefined): Promise<Result<Policy>> {
  const check = `token-broker policy check ${file}`
  const correct = () => `${check}   # after the correction`
  try {
    const policy = await loadSettledPolicy(file)
    const conflicts =
      config?.identity.source === 'managed-identity' ? validateExchangeAudience(policy, config.identity.audience) : []
    if (conflicts.length > 0) return several(conflicts, correct)
    const counts = `${policy.rules.length} rules, ${policy.tenants.size} named tenants, ${policy.issuers.length} issuers`
    const result = ok(policy, `the policy is valid: ${counts}`)
    return withWarnings(result, policy.warnings, [`${check}   # after the correction`])
  } catch (thrown) {
    if (!(thrown instanceof InvalidConfigurationError)) throw thrown
    const unreadable = thrown.errors.every(({ where }) => where === 'BROKER_POLICY_FILE')
    return several(
      thrown.errors,
      unreadable ? () => `mount the policy file at ${file}, or correct BROKER_POLICY_FILE` : correct,
    )
  }
}

/** The tenant of `--tenant`, whose id may be one that the policy does not name. */
function checkTenant(
  checks: Checks,
  policy: Step<Policy>,
  tenant: string | undefined,
): Promise<Step<string | undefined>> {
  if (tenant === undefined) return Promise.resolve({ ok: true, value: undefined })
  if (isGuid(tenant)) return Promise.resolve({ ok: true, value: tenant.toLowerCase() })
  return checks.run('settings.tenant', { policy }, values => {
    const { tenants } = values.policy
    const id = tenants.get(tenant)
    if (id !== undefined) return ok(id, `${tenant} is ${id}`)
    const near = nearestName(tenant, tenants.keys(), 3)
    return failed({
      subject: hasCredential(tenant) ? 'tenant' : tenant,
      text: 'the policy has no tenant of this name',
      fix: [near === undefined ? 'token-broker doctor --tenant ID' : `token-broker doctor --tenant ${near}`],
    })
  })
}
