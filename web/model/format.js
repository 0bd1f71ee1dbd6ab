/** Numbers, times and names as texts. Without the DOM. */

const integers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const rates = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/**
 * A whole number with separators: `12,345`.
 * @param {number} value
 */
export const count = value => integers.format(value)

/**
 * A number with three significant digits; a dash if there is none.
 * @param {number | undefined} value
 */
export const figure = value => (value === undefined || Number.isNaN(value) ? '–' : rates.format(value))

/**
 * A number of things: `1 tenant`, `2 tenants`.
 * @param {number} number
 * @param {string} noun
 */
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? '' : 's'}`

/** Units of a duration: the seconds up to which it is used, the seconds of one, and its name. */
const units = /** @type {const} */ ([
  [90, 1, 's'],
  [90 * 60, 60, 'min'],
  [36 * 3600, 3600, 'h'],
  [48 * 3600, 86_400, 'day'],
  [Number.POSITIVE_INFINITY, 86_400, 'days'],
])

/**
 * A duration in its most readable unit: `45 s`, `12 min`, `3 h`, `14 days`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const positive = Math.max(0, Math.floor(seconds))
  for (const [below, one, name] of units) {
    if (positive < below) return `${Math.floor(positive / one)} ${name}`
  }
  return ''
}

/**
 * A short time span, such as a latency: `12 ms`, `1.25 s`.
 * @param {number | undefined} seconds
 */
export function latency(seconds) {
  if (seconds === undefined || Number.isNaN(seconds)) return '–'
  return seconds < 1 ? `${rates.format(seconds * 1000)} ms` : `${rates.format(seconds)} s`
}

/**
 * The time of the day in UTC, with the date if that is not today: `03:12:45`, `2026-11-27 03:12`.
 * @param {string | number} moment ISO 8601, or milliseconds since 1970
 * @param {number} now milliseconds since 1970
 */
export function clockTime(moment, now) {
  const date = new Date(moment)
  if (Number.isNaN(date.getTime())) return '–'
  const iso = date.toISOString()
  const today = new Date(now).toISOString().slice(0, 10)
  return iso.slice(0, 10) === today ? iso.slice(11, 19) : `${iso.slice(0, 10)} ${iso.slice(11, 16)}`
}

/**
 * Since when, or from when on, something is so; empty if its beginning is unknown.
 * @param {{ since?: string | undefined, from?: string | undefined }} finding
 * @param {number} now
 */
export function whenText({ since, from }, now) {
  if (from !== undefined) return `from ${clockTime(from, now)} UTC (in ${duration((Date.parse(from) - now) / 1000)})`
  if (since === undefined) return ''
  // In minutes, so that it does not change with each round.
  const minutes = Math.floor((now - Date.parse(since)) / 60_000)
  const age =
    minutes < 1 ? 'less than a minute' : `at least ${minutes < 90 ? `${minutes} min` : duration(minutes * 60)}`
  return `since ${clockTime(since, now)} UTC (${age})`
}

/**
 * What happens next, and when; in whole minutes, so that it changes rarely.
 * @param {{ what: string, at: number }} deadline
 * @param {number} now
 */
export function deadlineText({ what, at }, now) {
  const left = Math.floor((at - now) / 60_000)
  const time = clockTime(Math.floor(at / 60_000) * 60_000, now).replace(/^(\d\d:\d\d):00$/, '$1')
  return `${what} at ${time} UTC (in ${left < 1 ? 'less than a minute' : duration(left * 60)})`
}

const periods = /** @type {Partial<Record<number, string>>} */ ({
  1: 'second',
  60: 'minute',
  3600: 'hour',
  86_400: 'day',
})

/**
 * A limit of the policy: `60 requests per minute`, `10 new tokens per 90 s`.
 * @param {string} reason `requests`, `exchanges` or `tenant`
 * @param {{ count: number, seconds: number }} limit
 */
export const limitText = (reason, { count: number, seconds }) =>
  `${plural(number, reason === 'requests' ? 'request' : 'new token')} per ${periods[seconds] ?? `${seconds} s`}`

/**
 * A name with the id it stands for, or the id alone.
 * @param {string | null} name
 * @param {string | null} id
 */
export const named = (name, id) => name ?? id ?? '–'

/**
 * A list in words, shortened: `a, b, c and 4 more`.
 * @param {readonly string[]} items
 * @param {number} [most]
 */
export function listed(items, most = 3) {
  if (items.length <= most) {
    const last = items.at(-1) ?? ''
    return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} and ${last}`
  }
  return `${items.slice(0, most).join(', ')} and ${count(items.length - most)} more`
}

/**
 * How a caller was recognised, in one line.
 * @param {Readonly<Record<string, string>>} caller
 */
export function callerText(caller) {
  const { kind, issuer, subject, key, name, ...others } = caller
  if (kind === 'jwt') return `${subject ?? '–'} (issuer ${issuer ?? '–'})`
  if (kind === 'apiKey') return `API key ${key ?? '–'}`
  if (kind === 'certificate') return `certificate of ${name ?? '–'}`
  return [kind, ...Object.values(others)].filter(text => text !== undefined).join(' ')
}

/**
 * What a token is requested for, besides its tenant.
 * @param {{ scope: string | null, application: string | null, agent: string | null }} requested
 */
export function targetText({ scope, application, agent }) {
  const client = agent === null ? application && `application ${application}` : `agent identity ${agent}`
  return [scope, client].filter(Boolean).join(', ')
}

/**
 * Whose token it is: an application, or an agent identity and its blueprint.
 * @param {{ application: string | null, client_id: string, agent: string | null, agent_id: string | null }} client
 */
export function clientText({ application, client_id, agent, agent_id }) {
  const blueprint = application ?? client_id
  return agent_id === null ? blueprint : `${agent ?? agent_id} (${blueprint})`
}
