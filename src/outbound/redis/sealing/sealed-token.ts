import { createHmac } from 'node:crypto'
import { membersOf, membersOfJson, type Members } from '../../../broker/lib/json-members.ts'
import { maxLifetimeSeconds, visible } from '../../../broker/tokens/verify-token.ts'
import type { BrokerError } from '../../../errors.ts'
import { kinds, open, seal } from './envelope.ts'
import type { KeyRing } from './key-ring.ts'
import { failureOf, fieldsOfFailure } from './failure-fields.ts'

/** Where a value belongs: a grant, of which only the key matters. */
export interface Target {
  /** Application, tenant and scope. */
  readonly key: string
}

/** A token as replicas share it. All moments are wall times, in milliseconds since 1970. */
export interface TokenRecord {
  readonly token: string
  /** When its exchange began, by the clock of the replica that made it. */
  readonly issuedAt: number
  /** Seconds from `issuedAt`. Always positive. */
  readonly expiresIn: number
  /** The token's own `exp`. Absent if the token is not a readable JWT. */
  readonly expiresAt?: number
  /** When it becomes due. The replica that made the exchange added the jitter. */
  readonly refreshAt: number
  readonly traceId?: string
  readonly correlationId?: string
}

/** The purges that a replica knew when it began to fetch a token. A token from before a purge that matches it must not be used. */
export interface PurgeMark {
  /** Which life of the store `sequence` belongs to. At most {@link maxEpochLength} characters. */
  readonly epoch: string
  /** A whole number from 0. */
  readonly sequence: number
}

/** What {@link Sealer.open} returns. */
export interface OpenedToken {
  readonly token: TokenRecord
  readonly mark: PurgeMark
}

/** Makes of tokens and failures what is stored in Redis, and reads it. */
export interface Sealer {
  /** The name of a target under each key of the ring, newest first: 43 letters, digits, `-` and `_`. */
  readonly names: (target: Target) => readonly [string, ...string[]]
  /** `undefined` if the value would be larger than 64 KiB: such a token is not shared. */
  readonly seal: (target: Target, token: TokenRecord, mark: PurgeMark) => Buffer | undefined
  /**
   * What {@link seal} sealed for the same target, under any key of the ring. `undefined` for all other bytes. Never throws.
   * Says nothing about the present: the caller compares `mark` and the token's end.
   */
  readonly open: (target: Target, value: Uint8Array) => OpenedToken | undefined
  /** @param leaseId the lease whose holder failed: the failure can be opened with it only */
  readonly sealFailure: (target: Target, leaseId: string, failure: BrokerError) => Buffer | undefined
  /** `undefined` for everything that is not a failure of that target and that lease. Never throws. */
  readonly openFailure: (target: Target, leaseId: string, value: Uint8Array) => BrokerError | undefined
}

/** Characters of the longest epoch. */
export const maxEpochLength = 64

/** @param ring the key ring in use, which is asked for each value */
export function createSealer(ring: () => KeyRing): Sealer {
  return {
    names: ({ key }) => {
      const [first, ...others] = ring().keys
      return [nameOf(first, key), ...others.map(each => nameOf(each, key))]
    },
    seal: ({ key }, token, mark) => seal(ring(), kinds.token, key, JSON.stringify({ token: fieldsOf(token), mark })),
    open: ({ key }, value) => {
      const content = open(ring(), kinds.token, key, value)
      return content === undefined ? undefined : openedOf(membersOfJson(content))
    },
    sealFailure: ({ key }, leaseId, failure) =>
      seal(ring(), kinds.failure, placeOfLease(key, leaseId), JSON.stringify(fieldsOfFailure(failure))),
    openFailure: ({ key }, leaseId, value) => {
      const content = open(ring(), kinds.failure, placeOfLease(key, leaseId), value)
      return content === undefined ? undefined : failureOf(membersOfJson(content))
    },
  }
}

const nameOf = ({ naming }: KeyRing['keys'][number], key: string): string =>
  createHmac('sha256', naming).update(key).digest('base64url')

/** A key has no line end. */
const placeOfLease = (key: string, leaseId: string): string => `${key}\n${leaseId}`

/** Only the fields of a record: the caller's object may have others. */
const fieldsOf = ({ token, issuedAt, expiresIn, expiresAt, refreshAt, traceId, correlationId }: TokenRecord) => ({
  token,
  issuedAt,
  expiresIn,
  expiresAt,
  refreshAt,
  traceId,
  correlationId,
})

/** A replica of another version may have sealed it, so its fields are looked at. */
function openedOf(content: Members): OpenedToken | undefined {
  const { token: record, mark } = content
  return isRecord(record) && isMark(mark) ? { token: record, mark } : undefined
}

const isNumber = (value: unknown): value is number => Number.isFinite(value)
const isTextOrAbsent = (value: unknown): boolean => value === undefined || typeof value === 'string'

function isRecord(value: unknown): value is TokenRecord {
  const { token, issuedAt, expiresIn, expiresAt, refreshAt, traceId, correlationId } = membersOf(value)
  return (
    typeof token === 'string' &&
    visible.test(token) &&
    isNumber(issuedAt) &&
    isNumber(expiresIn) &&
    expiresIn > 0 &&
    expiresIn <= maxLifetimeSeconds &&
    (expiresAt === undefined || isNumber(expiresAt)) &&
    isNumber(refreshAt) &&
    isTextOrAbsent(traceId) &&
    isTextOrAbsent(correlationId)
  )
}

function isMark(value: unknown): value is PurgeMark {
  const { epoch, sequence } = membersOf(value)
  return (
    typeof epoch === 'string' &&
    epoch.length <= maxEpochLength &&
    typeof sequence === 'number' &&
    Number.isSafeInteger(sequence) &&
    sequence >= 0
  )
}
