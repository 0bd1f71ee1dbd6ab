import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { prefersOpenMetrics } from '../../src/http/operations/metrics-format.ts'
import { openMetricsType, toOpenMetrics } from '../../src/telemetry/metrics/open-metrics.ts'
import { graph, send, startWorld } from '../support/broker.ts'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { readScrape } from './scrape.ts'

const prometheus3 =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,' +
  'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
const prometheus2 =
  'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1'

const accepts: readonly [accept: string | undefined, open: boolean, why: string][] = [
  [prometheus3, true, 'Prometheus 3'],
  [prometheus2, true, 'Prometheus 2'],
  ['application/openmetrics-text; version=1.0.0; charset=utf-8', true, 'the content type itself'],
  ['Application/OpenMetrics-Text;Version="1.0.0"', true, 'in any case, with a quoted version'],
  ['application/openmetrics-text', true, 'any version'],
  ['application/openmetrics-text,text/plain', true, 'the same weight: what is named is preferred'],
  ['text/plain;q=0.9, application/openmetrics-text;q=0.8', false, 'text with a higher weight'],
  ['application/openmetrics-text;version=0.0.1', false, 'a version that is not sent'],
  ['application/openmetrics-text;q=0', false, 'excluded'],
  ['application/openmetrics-text;q=2', false, 'a weight that is none'],
  ['application/openmetrics-text;q=0.5, text/plain;q=0.1, */*;q=0.9', true, 'the most specific range counts for text'],
  ['application/openmetrics-text;q=0.5, */*;q=0.9', false, 'a wildcard includes text'],
  ['application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily', false, 'protobuf only: text'],
  ['text/plain', false, 'text'],
  ['*/*', false, 'curl'],
  ['', false, 'empty'],
  [undefined, false, 'absent'],
]
describe('/metrics is OpenMetrics for those who prefer it', () => {
  for (const [accept, open, why] of accepts)
    test(`${accept?.slice(0, 60)}: ${why}`, () => assert.equal(prefersOpenMetrics(accept), open))
})

/** The parts of the grammar of OpenMetrics 1.0 that the broker uses. */
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\n"])*"'
const number = '(?:-?(?:\\d+\\.?\\d*(?:e[+-]?\\d+)?|\\.\\d+)|[+-]Inf|NaN)'
const grammar = {
  type: /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/,
  help: /^# HELP ([a-zA-Z_:][\w:]*) (?:[^"\\\n]|\\[\\n"])+$/,
  sample: new RegExp(`^([a-zA-Z_:][\\w:]*)(?:\\{(${label}(?:,${label})*)\\})? (${number})$`),
}
const suffixes: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total'],
  gauge: [''],
  histogram: ['_bucket', '_count', '_sum'],
}

/** Checks a whole exposition: families are not interleaved, each with its metadata first and the names of its type. */
function checkOpenMetrics(exposition: string): void {
  assert.ok(exposition.endsWith('\n# EOF\n'))
  const families = new Set<string>()
  let [family, type] = ['', '']
  for (const line of exposition.slice(0, -'# EOF\n'.length).trimEnd().split('\n')) {
    const [, about] = grammar.help.exec(line) ?? grammar.type.exec(line) ?? []
    if (about === undefined) {
      const [, name = '', labels = '', value] = grammar.sample.exec(line) ?? assert.fail(`not of the grammar: ${line}`)
      assert.ok(
        suffixes[type]?.some(suffix => name === family + suffix),
        `${name} is not of the ${type} ${family}`,
      )
      if (type === 'counter') assert.ok(Number(value) >= 0, line)
      if (name.endsWith('_bucket')) assert.match(labels, /(?:^|,)le="(?:\d+\.\d+|\+Inf)"(?:,|$)/)
      continue
    }
    if (about !== family) {
      assert.ok(!families.has(about), `the family ${about} is interleaved`)
      families.add(about)
      ;[family, type] = [about, '']
    }
    type = grammar.type.exec(line)?.[2] ?? type
  }
  assert.ok(families.size > 20)
}

const world = await startWorld()

const broker = await world.broker({ after })
await broker.requestToken()
await broker.requestToken({ tenant: 'unknown', scope: graph })
const authorization = `Bearer ${await world.emulator.mintCallerToken({ sub: 'dashboard' })}`
const look = (accept: string) => send(`${broker.url}/metrics`, { headers: { accept, authorization } })
// From the second scrape on, the scrapes themselves are counted.
await look('*/*')
const [open, text] = [await look(prometheus3), await look('text/plain')]

describe('the metrics of a broker', () => {
  test('follow the grammar of OpenMetrics, and say so', () => {
    assert.equal(open.headers['content-type'], openMetricsType)
    assert.equal(open.headers['vary'], 'Accept')
    checkOpenMetrics(open.text)
  })

  test('are in the text format for others', () => {
    assert.match(String(text.headers['content-type']), /^text\/plain; version=0\.0\.4/)
    assert.equal(text.headers['vary'], 'Accept')
    assert.doesNotMatch(text.text, /# EOF/)
  })

  test('have the same series in both formats', () => {
    const names = (shown: string) =>
      [...readScrape(shown).series.keys()].map(key => key.replace(/le="(\d+)"/, 'le="$1.0"'))
    assert.deepEqual(names(open.text.replace('# EOF\n', '')).toSorted(), names(text.text).toSorted())
  })

  test('are accepted by promtool', { skip: withoutPromtool }, () => {
    const { status, said } = promtool(['check', 'metrics'], text.text)
    assert.equal(status, 0, said)
  })
})

test('what the text format does not escape is escaped', () => {
  const before =
    '# HELP a_total A "quoted" help\\n.\n# TYPE a_total counter\na_total{b="x \\"y\\""} 1\n\n# HELP c_total_x A gauge.\n# TYPE c_total_x gauge\nc_total_x 2\n'
  assert.equal(
    toOpenMetrics(before),
    '# HELP a A \\"quoted\\" help\\n.\n# TYPE a counter\na_total{b="x \\"y\\""} 1\n# HELP c_total_x A gauge.\n# TYPE c_total_x gauge\nc_total_x 2\n# EOF\n',
  )
})
