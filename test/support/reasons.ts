import { reasonTable, type BrokerError, type ErrorCode, type ReasonOf } from '../../src/errors.ts'
import { exchangeFailure } from '../../src/outbound/entra/entra-failure.ts'
import type { ReasonRow } from '../../src/reasons/row.ts'
import { grantFor } from './callers.ts'

/** One row of the table of reasons. */
export type NamedReason = ReasonRow & { readonly code: ErrorCode; readonly reason: ReasonOf<ErrorCode> }

/** Every row of the table of reasons, with its names, in order. */
export const reasons: readonly NamedReason[] = Object.entries(reasonTable).flatMap(([code, rows]) =>
  Object.entries(rows).map(([reason, row]) => ({
    code: code as ErrorCode,
    reason: reason as ReasonOf<ErrorCode>,
    ...row,
  })),
)

/** The failure that a response of Entra with these AADSTS codes becomes. */
export function refusedWith(codes: readonly number[], status = 400): BrokerError {
  const seen = {
    status,
    body: JSON.stringify({ error: 'invalid_request', error_codes: codes }),
    header: () => undefined,
    correlationId: undefined,
  }
  return exchangeFailure(seen, undefined, { target: grantFor(), authority: 'https://login.example', assertion: '' }, 0)
}
