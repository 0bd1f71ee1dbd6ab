/** Smaller numbers, as of seconds that remain, are no time at which a token ends: this is September 2001. */
const leastSeconds = 1_000_000_000

/** `M/d/yyyy h:mm:ss tt +00:00`, as identity endpoints of the protocol of 2017-09-01 write a time. */
const localDate = /^(\d{1,2})\/(\d{1,2})\/(\d{4}) (\d{1,2}):(\d{2}):(\d{2})(?: (AM|PM))? \+00:00$/

/** A date of RFC 3339. */
const internetDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/

/**
 * Reads the `expires_on` of an identity endpoint: seconds since 1970, as a number or digits, or a date. Endpoints differ, and
 * MSAL reads a date in another form, or an absent value, as 1970, which would look like a clock that is wrong.
 *
 * @returns milliseconds since 1970; `undefined` if the value is no time
 */
export function readExpiresOn(value: unknown): number | undefined {
  if (typeof value === 'number') return value >= leastSeconds ? value * 1000 : undefined
  if (typeof value !== 'string' || value.length > 64) return undefined
  if (/^\d{1,15}(?:\.\d{1,9})?$/.test(value)) return readExpiresOn(Number(value))
  const time = internetDate.test(value) ? Date.parse(value) : readLocalDate(value)
  return time >= leastSeconds * 1000 ? time : undefined
}

function readLocalDate(text: string): number {
  const [, month, day, year, hour = '', minute, second, half] = localDate.exec(text) ?? []
  if (month === undefined || (half !== undefined && (Number(hour) < 1 || Number(hour) > 12))) return Number.NaN
  const hours = half === undefined ? Number(hour) : (Number(hour) % 12) + (half === 'PM' ? 12 : 0)
  const two = (part: string | number | undefined) => String(part).padStart(2, '0')
  const time = Date.parse(`${year}-${two(month)}-${two(day)}T${two(hours)}:${minute}:${second}Z`)
  // A day that the month does not have would become one of the next month.
  return new Date(time).getUTCDate() === Number(day) ? time : Number.NaN
}
