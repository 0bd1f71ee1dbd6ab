/**
 * Texts that look like credentials, wherever they stand in another text. Everything that the process writes passes
 * through here: the log, the audit log, and what the command line prints.
 */

/** A run of the characters of which a JWT in compact form consists. It always matches, so a search takes linear time. */
const runs = /[\w.-]+/g
/** An API key of this broker (`encodeKey`), also without its checksum or with its end cut off. */
const keys = /tb_[\w-]{32,}/g
/** The first characters of every JSON object in base64url: the header of a JWT. */
const jwtStart = 'eyJ'
/** Characters of the shortest header: `{"a":1}`. */
const leastHeader = 9

/** What is written in place of a credential. */
export const redacted = { jwt: '[redacted jwt]', key: '[redacted key]' } as const

/**
 * Replaces every JWT (three or more parts in base64url, RFC 7515 §7.1 and RFC 7516 §7.1, the first of them a JSON
 * object) and every API key (`tb_…`). Returns the same text if there is none. A text that only begins like
 * a JWT stays: a caller could hide behind it.
 */
export function redactCredentials(text: string): string {
  const withoutJwts = text.includes(jwtStart) ? text.replace(runs, withoutJwt) : text
  return withoutJwts.includes('tb_') ? withoutJwts.replace(keys, redacted.key) : withoutJwts
}

/** Whether the text has a credential in it, by {@link redactCredentials}. */
export const hasCredential = (text: string): boolean => redactCredentials(text) !== text

/** A run without the JWT at its end. Anything may stand directly before a JWT, such as an escape of JSON. */
function withoutJwt(run: string): string {
  for (let start = run.indexOf(jwtStart); start !== -1; start = run.indexOf(jwtStart, start + 1)) {
    const second = run.indexOf('.', start)
    if (second === -1 || !run.includes('.', second + 1)) return run
    if (second - start >= leastHeader) return `${run.slice(0, start)}${redacted.jwt}`
  }
  return run
}
