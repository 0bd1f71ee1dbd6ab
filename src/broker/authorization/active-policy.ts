import type { ConfigurationError } from '../../errors.ts'
import type { Admission } from '../authentication/authenticate.ts'
import type { Clock } from '../lib/clock.ts'
import type { Policy } from '../policy/model.ts'

/** Why the newest version of the policy file is not active. */
export interface PolicyRejection {
  readonly errors: readonly ConfigurationError[]
  /** When the file was first found to be invalid, in milliseconds since 1970. */
  readonly since: number
}

/** The active policy and its state. */
export interface PolicyStatus {
  readonly policy: Policy
  /** When the active policy was loaded, in milliseconds since 1970. */
  readonly loadedAt: number
  /** Why a newer file was rejected; `undefined` while the active policy is that of the file. */
  readonly rejection: PolicyRejection | undefined
}

/** The policy that decides now. Read it once for each request, because it can be replaced at any time. */
export interface ActivePolicy {
  readonly status: () => PolicyStatus
  /** The credentials that the active policy accepts. Throws until {@link replace} was called. */
  readonly admission: () => Admission
  /** Activates a version, as a whole and at once. */
  readonly replace: (next: Admission) => void
  /** The file is the active policy again: ends a rejection. */
  readonly unchanged: () => void
  /** The file is invalid: records why. The active version does not change. */
  readonly rejected: (errors: readonly ConfigurationError[]) => void
}

/**
 * Creates the active policy. No caller can be authenticated before the first {@link ActivePolicy.replace}.
 * @param first the policy in {@link ActivePolicy.status} until then
 */
export function createActivePolicy(first: Policy, { now }: Pick<Clock, 'now'>): ActivePolicy {
  let admission: Admission | undefined
  let status: PolicyStatus = { policy: first, loadedAt: now(), rejection: undefined }
  return {
    status: () => status,
    admission: () => {
      if (admission === undefined) throw new Error('the policy was read before it was active')
      return admission
    },
    replace: next => {
      admission = next
      const loadedAt = next.policy === status.policy ? status.loadedAt : now()
      status = { policy: next.policy, loadedAt, rejection: undefined }
    },
    unchanged: () => {
      if (status.rejection) status = { ...status, rejection: undefined }
    },
    rejected: errors => {
      status = { ...status, rejection: { errors, since: status.rejection?.since ?? now() } }
    },
  }
}
