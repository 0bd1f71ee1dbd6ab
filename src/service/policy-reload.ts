import { createAdmission } from '../broker/authentication/authenticate.ts'
import { redactCredentials } from '../broker/lib/text/credential-shapes.ts'
import { validateExchangeAudience } from '../broker/policy/file/validate.ts'
import type { IssuerSettings, Policy } from '../broker/policy/model.ts'
import type { ActivePolicy } from '../broker/authorization/active-policy.ts'
import type { Events } from '../broker/events.ts'
import type { Config } from '../config/config.ts'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../errors.ts'
import { connectIssuers, type ConnectedIssuer, type IssuerKeysOptions } from '../outbound/issuers/issuer-keys.ts'
import { loadSettledPolicy } from '../outbound/files/policy-file.ts'
import { watchFiles, type FileWatch } from '../outbound/files/watch-files.ts'

/** The errors of a policy that contradicts this configuration; none if the two fit. */
export const configurationConflicts = ({ identity }: Config, policy: Policy): readonly ConfigurationError[] =>
  identity.source === 'managed-identity' ? validateExchangeAudience(policy, identity.audience) : []

/** Keeps the active policy up to date with its file. */
export interface PolicyReloader {
  readonly issuers: () => readonly ConnectedIssuer[]
  /**
   * Reads the policy file again, and the files that it names. A valid policy becomes active at once and as a whole. An
   * invalid one is reported as an event and changes nothing. Never rejects.
   *
   * @param repeat reports errors even if the same ones were reported before
   */
  readonly reload: (repeat?: boolean) => Promise<void>
  /** From now on, reloads by itself whenever the files may have changed. `failed` is called if they cannot be watched. */
  readonly watch: (failed: (error: unknown) => void) => void
  readonly close: () => void
}

type ReloadOptions = IssuerKeysOptions & Pick<Events, 'policyLoaded' | 'policyRefused'>

/**
 * Makes the first policy active.
 * @throws InvalidConfigurationError if a file that the policy names cannot be used
 */
export async function startPolicyReloader(
  config: Config,
  active: ActivePolicy,
  options: ReloadOptions,
): Promise<PolicyReloader> {
  const loader = await createLoader(config, active, options)
  const reload = async (repeat: boolean): Promise<void> => {
    const { policy, rejection } = active.status()
    try {
      await loader.load(policy)
    } catch (thrown) {
      const errors = errorsOf(thrown)
      const isKnown = JSON.stringify(errors) === JSON.stringify(rejection?.errors)
      active.rejected(errors)
      if (repeat || !isKnown) options.policyRefused(policy, errors)
    }
  }
  const files = () => [config.policyFile, ...loader.issuers().flatMap(({ settings }) => filesOf(settings))]
  let last = Promise.resolve()
  let watching: FileWatch | undefined
  // One reload after the other: a slower earlier one must not replace the policy of a later one.
  const enqueue = (repeat = false): Promise<void> => {
    last = last.then(() => reload(repeat)).then(() => watching?.follow(files()))
    return last
  }
  return {
    issuers: loader.issuers,
    reload: enqueue,
    watch: failed => {
      watching = watchFiles(files(), () => void enqueue(), failed)
    },
    close: () => watching?.close(),
  }
}

/** Makes the first policy active. The loader replaces it by what the file contains later, with its issuers. */
async function createLoader(config: Config, active: ActivePolicy, options: ReloadOptions) {
  const { policy: first } = active.status()
  let issuers = await connectIssuers(first.issuers, options)
  active.replace(createAdmission(first, issuers))
  return {
    issuers: () => issuers,
    /** Throws if the file, or a file that it names, is invalid. */
    load: async (before: Policy): Promise<void> => {
      const policy = await loadSettledPolicy(config.policyFile, before)
      const conflicts = configurationConflicts(config, policy)
      if (conflicts.length > 0) throw new InvalidConfigurationError('The policy is invalid', conflicts)
      const connected = await connectIssuers(policy.issuers, options, issuers)
      const isSame = connected.length === issuers.length && connected.every((issuer, nth) => issuer === issuers[nth])
      if (policy === before && isSame) {
        const { rejection } = active.status()
        active.unchanged()
        // Without this, the last log line would still be the refusal, although the old version was restored.
        if (rejection) options.policyLoaded(policy, before)
        return
      }
      issuers = connected
      active.replace(createAdmission(policy, connected))
      options.policyLoaded(policy, before)
    },
  }
}

/** The errors without credentials: `/health` shows them, and a person may have put a key in the place of its name. */
const errorsOf = (thrown: unknown): readonly ConfigurationError[] =>
  (thrown instanceof InvalidConfigurationError ? thrown.errors : [{ where: 'file', what: messageOf(thrown) }]).map(
    ({ where, what }) => ({ where: redactCredentials(where), what: redactCredentials(what) }),
  )

const filesOf = ({ jwksFile, caFile }: IssuerSettings): readonly string[] =>
  [jwksFile, caFile].filter(file => file !== undefined)
