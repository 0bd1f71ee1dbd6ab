import { createAdmission } from '../broker/authentication/authenticate.ts'
import { checkExchangeAudience } from '../broker/policy/validate.ts'
import type { IssuerSettings, Policy } from '../broker/policy/model.ts'
import type { ActivePolicy } from '../broker/authorization/active-policy.ts'
import type { Events } from '../broker/events.ts'
import type { Config } from '../config/config.ts'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../errors.ts'
import { connectIssuers, type ConnectedIssuer, type IssuerKeysOptions } from '../outbound/issuers/issuer-keys.ts'
import { loadPolicy } from '../outbound/files/policy-file.ts'
import { watchFiles, type FileWatch } from '../outbound/files/watch-files.ts'

/** The errors of a policy that contradicts this configuration. */
export const faultsBeside = ({ identity }: Config, policy: Policy): readonly ConfigurationError[] =>
  identity.source === 'managed-identity' ? checkExchangeAudience(policy, identity.audience) : []

/** Keeps the active policy up to date with its file. */
export interface PolicyReloader {
  readonly issuers: () => readonly ConnectedIssuer[]
  /**
   * Reads the policy file again, and the files that it names. A valid policy becomes active at once and as a whole. An
   * invalid one is reported as an event and changes nothing. Never rejects.
   *
   * @param aloud reports errors even if they were reported before
   */
  readonly reload: (aloud?: boolean) => Promise<void>
  /** From now on, reloads by itself whenever the files may have changed. */
  readonly watch: (failed: (error: unknown) => void) => void
  readonly close: () => void
}

/**
 * Makes the first policy active.
 * @throws InvalidConfigurationError if a file that the policy names cannot be used
 */
export async function startPolicyReloader(
  config: Config,
  running: ActivePolicy,
  options: IssuerKeysOptions & Pick<Events, 'policyLoaded' | 'policyRefused'>,
): Promise<PolicyReloader> {
  const { policy: first } = running.status()
  let issuers = await connectIssuers(first.issuers, options)
  running.replace(createAdmission(first, issuers))

  const load = async (before: Policy): Promise<void> => {
    const policy = await loadPolicy(config.policyFile, 'BROKER_POLICY_FILE', before)
    const faults = faultsBeside(config, policy)
    if (faults.length > 0) throw new InvalidConfigurationError('The policy is faulty', faults)
    const connected = await connectIssuers(policy.issuers, options, issuers)
    const isSame = connected.length === issuers.length && connected.every((issuer, nth) => issuer === issuers[nth])
    if (policy === before && isSame) {
      const { rejection: refusal } = running.status()
      running.unchanged()
      // Without this, the last log line would still be the refusal, although the old version was restored.
      return refusal && options.policyLoaded(policy, before)
    }
    issuers = connected
    running.replace(createAdmission(policy, connected))
    options.policyLoaded(policy, before)
  }
  const reload = async (aloud: boolean): Promise<void> => {
    const { policy: before, rejection: refusal } = running.status()
    try {
      await load(before)
    } catch (thrown) {
      const faults =
        thrown instanceof InvalidConfigurationError ? thrown.errors : [{ where: 'file', what: messageOf(thrown) }]
      const isKnown = JSON.stringify(faults) === JSON.stringify(refusal?.faults)
      running.rejected(faults)
      if (aloud || !isKnown) options.policyRefused(before, faults)
    }
  }
  let last = Promise.resolve()
  let watching: FileWatch | undefined
  const files = () => [config.policyFile, ...issuers.flatMap(({ settings }) => filesOf(settings))]
  const next = (aloud = false): Promise<void> => {
    last = last.then(() => reload(aloud)).then(() => watching?.follow(files()))
    return last
  }
  return {
    issuers: () => issuers,
    reload: next,
    watch: failed => {
      watching = watchFiles(files(), () => void next(), failed)
    },
    close: () => watching?.close(),
  }
}

const filesOf = ({ jwksFile, caFile }: IssuerSettings): readonly string[] =>
  [jwksFile, caFile].filter(file => file !== undefined)
