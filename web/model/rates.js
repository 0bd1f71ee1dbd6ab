/**
 * Rates and latency, from differences of the broker's counters. Without the DOM.
 * @import { Cache, Counted, Snapshot } from './responses.ts'
 * @typedef {object} Sample what was counted since the broker started
 * @property {number} at milliseconds since 1970, by the broker's clock
 * @property {number} issued tokens issued to callers
 * @property {number} failed requests for tokens that got an error
 * @property {number} served tokens, by whatever cache result
 * @property {number} hits of these, without waiting for a fetch
 * @property {number} exchanges that succeeded
 * @property {number} exchangeErrors exchanges that failed
 * @property {number} exchangeSeconds all exchanges took together
 * @property {Spent} cached requests that got a cached token
 * @property {Spent} fetched requests that waited for a fetch
 * @typedef {object} Point one moment of the lines; `undefined` where there was nothing to measure
 * @property {number} at
 * @property {number} issued per second
 * @property {number} failed per second
 * @property {number | undefined} hitShare in per cent
 * @property {number} exchanges per second
 * @property {number} exchangeErrors per second
 * @property {number | undefined} exchangeSeconds of one exchange, on average
 * @property {number | undefined} cachedSeconds of one request for a token that was cached, on average
 * @property {number | undefined} fetchedSeconds of one request for a token that was fetched, on average
 * @typedef {object} Spent requests, and the seconds that they took together
 * @property {number} count
 * @property {number} seconds
 */

/** The endpoints that issue tokens, as the metrics name them. The others are not callers' work. */
export const tokenEndpoints = new Set(['tokens', 'oauth_token', 'entra_token', 'entra_v1_token', 'identity'])

/** How a cached token is issued without waiting for a fetch, as the metrics name it. */
const hitResults = new Set(['hit', 'due', 'refresh-failed'])

/** Milliseconds that the lines show, and over which a rate is measured: shorter ones jump with each request. */
export const spans = { shown: 5 * 60_000, measured: 10_000 }

/**
 * Adds the counters of interest up.
 * @param {Cache} cache
 * @returns {Sample}
 */
export function sampleOf({ time, counters }) {
  /**
   * @param {string} name
   * @returns {readonly Counted[]}
   */
  const seriesOf = name => counters[name] ?? []
  const requests = seriesOf('requests').filter(({ endpoint = '' }) => tokenEndpoints.has(endpoint))
  const issued = requests.filter(({ outcome }) => outcome === 'issued')
  const served = seriesOf('cache_requests')
  const exchanges = seriesOf('exchanges')
  const durations = seriesOf('durations').filter(({ endpoint = '' }) => tokenEndpoints.has(endpoint))
  const good = exchanges.filter(({ outcome }) => outcome === 'ok')
  return {
    at: Date.parse(time),
    issued: sum(issued),
    failed: sum(requests) - sum(issued),
    served: sum(served),
    hits: sum(served.filter(({ result = '' }) => hitResults.has(result))),
    exchanges: sum(good),
    exchangeErrors: sum(exchanges) - sum(good),
    exchangeSeconds: spent(exchanges).seconds,
    cached: spent(durations.filter(({ outcome }) => outcome === 'cached')),
    fetched: spent(durations.filter(({ outcome }) => outcome === 'fetched')),
  }
}

/** @param {readonly { count: number }[]} series */
const sum = series => series.reduce((total, { count }) => total + count, 0)

/**
 * @param {readonly Counted[]} series
 * @returns {Spent}
 */
const spent = series => ({
  count: sum(series),
  seconds: series.reduce((total, { seconds = 0 }) => total + seconds, 0),
})

/**
 * The mean duration between two samples; `undefined` if nothing was counted.
 * @param {Spent} first
 * @param {Spent} last
 */
const meanOf = (first, last) =>
  last.count === first.count ? undefined : (last.seconds - first.seconds) / (last.count - first.count)

/**
 * Keeps samples of the last minutes. Another replica, or a restart, begins anew: its counters are others.
 * @returns {{ add: (cache: Cache) => readonly Point[], clear: () => void }}
 */
export function createHistory() {
  /** @type {Sample[]} */
  let samples = []
  let source = ''
  return {
    add: cache => {
      const from = `${cache.replica} ${cache.started_at}`
      if (from !== source) samples = []
      source = from
      const sample = sampleOf(cache)
      // A response that was on its way longer than the next one.
      if (sample.at > (samples.at(-1)?.at ?? 0)) samples.push(sample)
      const oldest = sample.at - spans.shown - spans.measured
      samples = samples.filter(({ at }) => at >= oldest)
      return pointsOf(samples)
    },
    clear: () => {
      samples = []
    },
  }
}

/**
 * A point begins at the newest sample that is old enough. A rate over a shorter time would jump with each request.
 * @param {readonly Sample[]} samples
 */
const pointsOf = samples =>
  samples.flatMap((last, nth) => {
    const first = samples.slice(0, nth).findLast(({ at }) => last.at - at >= spans.measured)
    return first === undefined ? [] : [pointOf(first, last)]
  })

/**
 * @param {Sample} first
 * @param {Sample} last
 * @returns {Point}
 */
function pointOf(first, last) {
  const seconds = (last.at - first.at) / 1000
  const served = last.served - first.served
  const errors = last.exchangeErrors - first.exchangeErrors
  const exchanges = last.exchanges - first.exchanges + errors
  return {
    at: last.at,
    issued: (last.issued - first.issued) / seconds,
    failed: (last.failed - first.failed) / seconds,
    hitShare: served === 0 ? undefined : ((last.hits - first.hits) / served) * 100,
    exchanges: (exchanges - errors) / seconds,
    exchangeErrors: errors / seconds,
    exchangeSeconds: exchanges === 0 ? undefined : (last.exchangeSeconds - first.exchangeSeconds) / exchanges,
    cachedSeconds: meanOf(first.cached, last.cached),
    fetchedSeconds: meanOf(first.fetched, last.fetched),
  }
}

/**
 * Where the lines begin, if they do not fill the chart: there are no earlier data.
 * @param {readonly Point[]} points
 * @returns {number | undefined} milliseconds since 1970
 */
export function beginning(points) {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined) return undefined
  return first.at - (last.at - spans.shown) > spans.measured ? first.at : undefined
}

/**
 * Why few exchanges fail while requests fail: cached failures respond to most of them.
 *
 * @param {Pick<Snapshot, 'cache' | 'health'>} snapshot
 * @returns {string} empty if the reason is unknown
 */
export function exchangesNote({ cache, health }) {
  if (health.upstreams.some(({ kind, status }) => kind === 'identity' && status === 'failing'))
    return 'Without a token of the managed identity, no exchange is tried.'
  return cache.failures.some(({ count }) => count > 0)
    ? 'A failed exchange is tried again after a pause. Until then, requests get the cached failure.'
    : ''
}

/**
 * A round number that is not less than a value: the top of a chart.
 * @param {number} value
 */
export function roundTop(value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 2, 5].find(each => each * power >= value * (1 - 1e-9)) ?? 10
  return step * power
}

/**
 * The lines of a series as points of a chart, one list for each stretch without a gap. `y` grows downwards.
 *
 * @param {readonly { at: number, value: number | undefined }[]} series in the order of time
 * @param {{ from: number, to: number, top: number, width: number, height: number }} chart the times and the value at its edges
 * @returns {readonly string[]} lists of `x,y`
 */
export function linesOf(series, { from, to, top, width, height }) {
  /** @type {string[][]} */
  const lines = [[]]
  for (const { at, value } of series) {
    if (value === undefined) lines.push([])
    else if (at >= from) {
      const x = ((at - from) / (to - from)) * width
      const y = height - (Math.min(value, top) / top) * height
      lines.at(-1)?.push(`${x.toFixed(1)},${y.toFixed(1)}`)
    }
  }
  return lines.filter(line => line.length > 0).map(line => line.join(' '))
}
