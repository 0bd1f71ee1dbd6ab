import { membersOfJson, type Members } from '../broker/lib/json-members.ts'

/** What a broker's error response (RFC 9457) says. Each text is shortened, and has no control character. */
export interface Problem {
  /** Unverified; it may be no code of this version. */
  readonly code: string | undefined
  readonly detail: string | undefined
  readonly remedy: string | undefined
  readonly requestId: string | undefined
  /** Unverified. */
  readonly upstream: unknown
}

/** Longer than the longest refusal of a broker, which repeats what was requested, and names the caller. */
const maxTextLength = 2000

/** Reads an error response. Fields that are absent, or are no text, are `undefined`; never throws. */
export function problemOf(text: string): Problem {
  const body: Members = membersOfJson(text)
  return {
    code: safeText(body['code']),
    detail: safeText(body['detail']),
    remedy: safeText(body['remedy']),
    requestId: safeText(body['request_id']),
    upstream: body['upstream'],
  }
}

const safeText = (text: unknown): string | undefined =>
  typeof text === 'string' ? text.replace(/\p{Cc}/gu, ' ').slice(0, maxTextLength) : undefined
