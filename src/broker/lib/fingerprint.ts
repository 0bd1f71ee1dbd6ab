import { hash } from 'node:crypto'

/**
 * Identifies a secret in logs: the first 32 hex digits of its SHA-256. Anyone who has the token can find its lines with
 * `printf %s "$TOKEN" | sha256sum | cut -c1-32`; the token cannot be derived from the log.
 */
export const fingerprint = (secret: string): string => hash('sha256', secret, 'buffer').toString('hex', 0, 16)
