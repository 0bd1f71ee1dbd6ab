const openMetrics = 'application/openmetrics-text'
/** Media ranges of the text format, the most specific first. */
const textRanges = ['text/plain', 'text/*', '*/*']

interface MediaRange {
  readonly type: string
  readonly version: string | undefined
  readonly quality: number
}

/**
 * Whether a scraper prefers OpenMetrics 1.0 to the text format, by its `Accept` (RFC 9110 §12.5.1). It must name the type:
 * a wildcard, or no header, gets the text format, which every scraper reads.
 */
export function prefersOpenMetrics(accept: string | undefined): boolean {
  if (accept === undefined || !accept.toLowerCase().includes(openMetrics)) return false
  const ranges = accept.split(',').map(readRange)
  const offered = ranges.filter(({ type, version = '1.0.0' }) => type === openMetrics && version === '1.0.0')
  const wanted = Math.max(0, ...offered.map(({ quality }) => quality))
  return wanted > 0 && wanted >= qualityOfText(ranges)
}

function qualityOfText(ranges: readonly MediaRange[]): number {
  for (const wanted of textRanges) {
    const found = ranges.filter(({ type, version = '0.0.4' }) => type === wanted && version === '0.0.4')
    if (found.length > 0) return Math.max(...found.map(({ quality }) => quality))
  }
  return 0
}

/** Reads one element of the list. A weight that is not of the grammar counts as 0. */
function readRange(element: string): MediaRange {
  const [type = '', ...parameters] = element.split(';').map(part => part.trim().toLowerCase())
  const valueOf = (name: string) =>
    parameters
      .find(each => each.startsWith(`${name}=`))
      ?.slice(name.length + 1)
      .replaceAll('"', '')
  const weight = valueOf('q') ?? '1'
  const quality = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0
  return { type, version: valueOf('version'), quality }
}
