import type { ConfigurationError } from '../../errors.ts'
import type { Admission } from '../authentication/authenticate.ts'
import type { Clock } from '../lib/clock.ts'
import type { Policy } from '../policy/model.ts'

/** Why the newest version of the policy file is not the one in force. */
export interface PolicyRejection {
  readonly errors: readonly ConfigurationError[]
  /** Milliseconds since 1970: when the file was first found to be faulty. */
  readonly since: number
}

/** The policy in force and how it came to be. */
export interface PolicyStatus {
  readonly policy: Policy
  /** Milliseconds since 1970. */
  readonly loadedAt: number
  /** Since then; `undefined` while the file says what is in force. */
  readonly rejection: PolicyRejection | undefined
}

/** One version of the policy after the other. Whoever needs it asks each time and keeps what it got for one request. */
export interface ActivePolicy {
  readonly status: () => PolicyStatus
  /** Whom the policy in force lets in. */
  readonly admission: () => Admission
  /** Puts a version in force, whole and at once. */
  readonly replace: (next: Admission) => void
  /** The file says what is in force. */
  readonly unchanged: () => void
  /** The file is faulty: the version in force stays. */
  readonly rejected: (faults: readonly ConfigurationError[]) => void
}

/** @param first the policy to begin with; nobody is let in before {@link ActivePolicy.replace} says who */
export function createActivePolicy(first: Policy, { now }: Pick<Clock, 'now'>): ActivePolicy {
  let admission: Admission | undefined
  let status: PolicyStatus = { policy: first, loadedAt: now(), rejection: undefined }
  return {
    status: () => status,
    admission: () => {
      if (admission === undefined) throw new Error('the policy is asked before it is in force')
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
    rejected: faults => {
      status = { ...status, rejection: { errors: faults, since: status.rejection?.since ?? now() } }
    },
  }
}
