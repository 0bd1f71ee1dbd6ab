import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parse } from 'yaml'
import { parsePolicy } from '../../src/broker/policy/parse.ts'
import { errorTable } from '../../src/errors.ts'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { codes, metricOf, metrics, page, rowsBelow, valuesOf } from './metrics-page.ts'
import { read, sourcesBelow } from '../support/sources.ts'

const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)
const blocksWith = (start: string) => blocks.filter(block => block.startsWith(start))

describe('docs/metrics.md lists the metrics of the source', () => {
  const rows = new Map(rowsBelow('All metrics').map(([name, ...cells]) => [codes(name)[0] ?? '', cells]))

  test('all of them, in their order, and no others', () => {
    assert.deepEqual([...rows.keys()], Object.keys(metrics))
  })

  for (const [name, { type, help, labels }] of Object.entries(metrics))
    test(`${name}: type, unit, labels, meaning`, () => {
      const [typeCell, unit = '', labelCell, meaning = ''] = rows.get(name) ?? []
      assert.equal(typeCell, type)
      assert.deepEqual(codes(labelCell), labels)
      assert.equal(meaning.startsWith(help), true, `"${meaning}" does not begin with "${help}"`)
      assert.match(unit, /^[a-z0-9]/)
      if (/_seconds(_total)?$/.test(name)) assert.match(unit, /^seconds/)
      if (name.endsWith('_bytes')) assert.equal(unit, 'bytes')
    })

  test('each label of each metric has one row of values, and no row speaks of anything else', () => {
    const wanted = Object.entries(metrics).flatMap(([name, { labels }]) => labels.map(label => `${label} of ${name}`))
    const listed = rowsBelow('Label values').flatMap(([names, of]) =>
      codes(of).flatMap(name => codes(names).map(label => `${label} of ${name}`)),
    )
    assert.deepEqual(listed.toSorted(), wanted.toSorted())
  })
})

/** The words of a union type, or whatever a pattern finds, in a source. */
const wordsIn = (path: string, pattern: RegExp): readonly string[] =>
  [...read(path).matchAll(pattern)].flatMap(([, ...found]) => found.filter(word => word !== undefined))
const unionIn = (path: string, start: string): readonly string[] => {
  const [, union = ''] = new RegExp(`${start}([^\\n]+)`).exec(read(path)) ?? []
  return [...union.matchAll(/'([^']+)'/g)].map(([, word = '']) => word)
}

describe('it lists the values that the source can give a label', () => {
  const endpoints = sourcesBelow('src/http').flatMap(path =>
    wordsIn(path, /(?:endpoint: |endpoint = |noEndpoint = |observe\('[^']+', )'(\w+)'/g),
  )
  const callers = ['jwt', 'jwt-refusals', 'client-certificates', 'authenticate', 'api-keys']
  const refusals = callers.flatMap(name =>
    wordsIn(`src/broker/authentication/${name}.ts`, /(?:refusal\(|: \[|return \[|\?\? \[)'(\w+)', ['"][A-Z]/g),
  )
  const failure = 'src/outbound/entra/entra-failure.ts'
  const exchange = [
    ...wordsIn(failure, /^ {2}(\w+): \['/gm),
    ...wordsIn(failure, /reason: '(\w+)'/g),
    ...wordsIn(failure, /reason: [^\n']+\? '(\w+)' : '(\w+)'/g),
    ...wordsIn(failure, /return (?:[^\n']+\? )?'(\w+)'(?: : '(\w+)')?/g),
    ...wordsIn('src/outbound/entra/entra.ts', /reason: '(\w+)'/g),
    ...wordsIn('src/broker/tokens/verify-token.ts', /wrong\('(\w+)'/g),
  ]
  const identity = [
    'src/outbound/entra/managed-identity.ts',
    'src/outbound/entra/workload-identity.ts',
    'src/broker/tokens/assertion-cache.ts',
  ]
  const fetches = identity.flatMap(path => [
    ...wordsIn(path, /reason: '(\w+)'/g),
    ...wordsIn(path, /reason: [^\n']+\? '(\w+)' : '(\w+)'/g),
  ])
  const cache = wordsIn('src/broker/tokens/cache-errors.ts', /reason: '(\w+)'/g).filter(
    word => word !== 'min_expires_in',
  )
  // What the exchanges' own histogram does not see: nobody was asked, or the answer was good and of no use.
  const around = [
    'src/broker/tokens/single-flight.ts',
    'src/outbound/entra/retry.ts',
    'src/outbound/entra/circuit-breaker.ts',
  ]
  const beyond = [...cache, ...around.flatMap(path => wordsIn(path, /reason: '(\w+)'/g))]
  const remembered = [...exchange, ...cache.filter(word => word !== 'queue')]
  const policy = 'src/broker/authorization/authorize.ts'
  const denials = [...unionIn(policy, 'type Refusal ='), ...wordsIn(policy, /reason: isDenied \? '(\w+)' : '(\w+)'/g)]
  const types = 'src/broker/events.ts'
  const metricsSource = 'src/telemetry/metrics.ts'
  const rows: readonly (readonly [metric: string, label: string, values: readonly string[]])[] = [
    ['token_broker_requests_total', 'endpoint', endpoints],
    ['token_broker_requests_total', 'outcome', ['issued', 'ok', 'not_ready', ...Object.keys(errorTable)]],
    ['token_broker_denials_total', 'reason', denials],
    [
      'token_broker_caller_verifications_total',
      'outcome',
      ['verified', ...refusals, 'issuer_unavailable', 'bad_credentials', 'internal_error'],
    ],
    ['token_broker_cache_requests_total', 'result', unionIn(types, 'type CacheOutcome =')],
    [
      'token_broker_cache_refreshes_total',
      'outcome',
      [
        ...unionIn(types, 'type RefreshOutcome =').filter(word => word !== 'failed'),
        ...exchange,
        ...fetches,
        ...beyond,
        'internal_error',
      ],
    ],
    ['token_broker_cache_remembered_failures_total', 'reason', remembered],
    ['token_broker_cache_failures', 'reason', remembered],
    [
      'token_broker_cache_failures',
      'level',
      unionIn('src/broker/tokens/negative-cache-rules.ts', 'type FailureLevel ='),
    ],
    ['token_broker_upstream_queue_length', 'lane', wordsIn('src/telemetry/metrics.ts', /lane: '(\w+)'/g)],
    ['token_broker_upstream_circuit_state', 'state', unionIn(types, 'type CircuitState =')],
    ['token_broker_exchange_duration_seconds', 'outcome', ['ok', ...exchange, 'internal_error']],
    ['token_broker_identity_fetch_duration_seconds', 'outcome', ['ok', ...fetches, 'internal_error']],
    [
      'token_broker_issuer_key_fetches_total',
      'outcome',
      ['ok', ...wordsIn('src/broker/authentication/jwks.ts', /reason: '(\w+)'/g)],
    ],
    ['token_broker_policy_reloads_total', 'outcome', wordsIn(metricsSource, /reloads\.inc\(\{ outcome: '(\w+)'/g)],
    [
      'token_broker_ignored_headers_total',
      'header',
      wordsIn('src/http/server/peers.ts', /'(x-forwarded-[a-z-]+|client-cert)'[,\]]/g),
    ],
    ['token_broker_upstream_healthy', 'kind', unionIn(types, 'readonly kind:')],
  ]
  for (const [metric, label, values] of rows)
    test(`${label} of ${metric}`, () => {
      assert.ok(values.length > 1, values.join())
      assert.deepEqual([...(valuesOf(metric, label) ?? [])].toSorted(), [...new Set(values)].toSorted())
    })
})

interface Rule {
  readonly alert: string
  readonly expr: string
}
const [rules = ''] = blocksWith('groups:')
const alerts = (parse(rules) as { groups: { rules: Rule[] }[] }).groups.flatMap(group => group.rules)
const questions = rowsBelow('Looking closer').flatMap(([question = '', cell]) =>
  codes(cell).map(expr => ({ alert: question, expr })),
)
const queries = [...alerts, ...questions]

describe('its PromQL asks for what there is', () => {
  test('there is some', () => assert.ok(alerts.length > 10 && questions.length > 10))

  for (const { alert, expr } of queries)
    test(`${alert}: ${expr.replace(/\s+/g, ' ').slice(0, 60)}`, () => {
      for (const [, series = ''] of expr.matchAll(/\b((?:token_broker|process|nodejs)_\w+)/g)) {
        const metric = metricOf(series)
        assert.ok(metric in metrics, series)
        assert.equal(metric !== series, metrics[metric]?.type === 'histogram', `${series} is not what is scraped`)
      }
      for (const [, series = '', matchers = ''] of expr.matchAll(/\b(token_broker_\w+)\{([^}]*)\}/g))
        for (const [, label = '', operator = '', value = ''] of matchers.matchAll(/(\w+)(=~|!~|!?=)"([^"]*)"/g)) {
          const values = [...(valuesOf(metricOf(series), label) ?? [])]
          const words = operator.includes('~') ? value.split('|') : [value]
          for (const word of words)
            assert.ok(
              values.some(each => new RegExp(`^(?:${word})$`).test(each)),
              `${label} is never "${word}"`,
            )
        }
    })
})

describe('promtool', { skip: withoutPromtool }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const check = (text: string, ...args: readonly string[]) => {
    const file = join(folder, 'checked.yml')
    writeFileSync(file, text)
    return promtool([...args, file])
  }

  test('accepts the alerts', () => {
    const { status, said } = check(rules, 'check', 'rules')
    assert.equal(status, 0, said)
    assert.match(said, new RegExp(`${alerts.length} rules found`))
  })

  test('accepts the queries', () => {
    const recorded = questions.map(({ expr }, index) => ({ record: `query:${index}`, expr }))
    const { status, said } = check(JSON.stringify({ groups: [{ name: 'queries', rules: recorded }] }), 'check', 'rules')
    assert.equal(status, 0, said)
  })

  const configurations = blocksWith('scrape_configs:')
  for (const [index, block] of configurations.entries())
    test(`accepts scrape configuration ${index + 1} of ${configurations.length}`, () => {
      const { status, said } = check(block, 'check', 'config', '--syntax-only')
      assert.equal(status, 0, said)
    })

  test('would not accept a wrong query', () => {
    const { status } = check('groups: [{ name: x, rules: [{ alert: x, expr: "rate(x)" }] }]', 'check', 'rules')
    assert.notEqual(status, 0)
  })
})

test('the rule for the scraper is one that the broker accepts', () => {
  const [block = ''] = blocksWith('rules:')
  const { rules: shown } = parse(block) as { rules: object[] }
  const issuers = { cluster: { issuer: 'https://kubernetes.example.internal', audiences: ['token-broker'] } }
  const applications = { default: '6f3c0b1e-0000-4000-8000-000000000001' }
  const policy = parsePolicy(JSON.stringify({ applications, issuers, rules: shown }))
  assert.deepEqual(
    policy.rules.map(({ permissions }) => [...permissions]),
    [['observe']],
  )
})
