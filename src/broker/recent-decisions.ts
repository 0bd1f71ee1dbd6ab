import type { ErrorCode, Reason } from '../errors.ts'

/** How a decision ended: the policy did not permit it, or it was permitted and failed. */
export const decisionOutcomes = ['denied', 'failed'] as const

/** One of {@link decisionOutcomes}. */
export type DecisionOutcome = (typeof decisionOutcomes)[number]

/**
 * A request of an authenticated caller that was denied or failed: facts of its audit line. It has no credential; texts
 * that a caller chose are shortened, and what looks like a credential in them is replaced.
 */
export interface Decision {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly outcome: DecisionOutcome
  readonly code: ErrorCode
  readonly reason: Reason
  /** As in the audit log, by its `kind`. */
  readonly caller: Readonly<Record<string, string>>
  /** The rule that granted it; `undefined` if none did. */
  readonly rule?: string
  /** Of an operation. */
  readonly permission?: string
  /** What was requested: a tenant id in lower case, or a name. Absent of an operation. */
  readonly tenant?: string
  readonly scope?: string
  /** Absent if an agent identity was requested that is not granted. */
  readonly application?: string
  readonly agent?: string
  readonly endpoint: string
  readonly address: string
  readonly requestId: string
  readonly traceId?: string
  /** The version of the policy that decided. */
  readonly policy: string
  /** AADSTS numbers, if Entra returned any. */
  readonly codes: readonly number[]
  /** The limit that it exceeded: so many requests or exchanges in so many seconds. */
  readonly limit?: { readonly count: number; readonly seconds: number }
  readonly remedy?: string
}

/** Which decisions to list. */
export interface DecisionQuery {
  readonly outcome?: DecisionOutcome | undefined
  /** Whether a tenant, as it was requested, is one of those to list; absent: all, and operations too. */
  readonly isListed?: ((tenant: string) => boolean) | undefined
  readonly limit: number
  /** {@link DecisionPage.next} of the page before; absent: from the newest. */
  readonly before?: number | undefined
}

/** One page of decisions, the newest first. */
export interface DecisionPage {
  readonly decisions: readonly Decision[]
  /** Where the next page begins; `undefined` on the last. */
  readonly next: number | undefined
}
