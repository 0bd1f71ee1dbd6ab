import { randomBytes } from 'node:crypto'

/** Bytes of the longest id of a lease. */
export const maxLeaseIdBytes = 40

/** The id says when the lease began, in milliseconds since 1970, and is random besides. */
export const newLeaseId = (now: number): string =>
  `${Math.floor(now).toString(36)}.${randomBytes(12).toString('base64url')}`

/** When a lease began, in milliseconds since 1970; long ago if the text is no id. */
export const startOfLease = (id: string): number => {
  const start = Number.parseInt(id, 36)
  return Number.isNaN(start) ? Number.NEGATIVE_INFINITY : start
}
