import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parse } from 'yaml'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import {
  agentSteps,
  leaseOutcomes,
  sharedLookUpOutcomes,
  sharedStoreOutcomes,
  dropReasons,
  circuitStates,
  cacheOutcomes,
  refreshOutcomes,
  responseClasses,
  upstreamKinds,
} from '../../src/broker/events.ts'
import { sidecarEndpoints } from '../../src/agent/sidecar.ts'
import { errorTable, type ErrorCode } from '../../src/errors.ts'
import { otherEndpoints } from '../../src/http/server/endpoints.ts'
import { tokenEndpoints } from '../../src/http/token-endpoints/all.ts'
import { metadataEndpoint } from '../../src/http/token-endpoints/identity.ts'
import { forwarding } from '../../src/http/server/peers/peers.ts'
import { levels, type Origin } from '../../src/reasons/row.ts'
import { requestBuckets } from '../../src/telemetry/metrics/request-durations.ts'
import { reloadOutcomes, waiting } from '../../src/telemetry/metric-table.ts'
import { reasons } from '../support/reasons.ts'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { alerts, recordings, rulesFile } from './alert-rules.ts'
import { dashboard, panels } from './dashboard-file.ts'
import { codes, metricOf, metrics, page, rowsBelow, valuesOf } from './metrics-page.ts'

const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)
const blocksWith = (start: string) => blocks.filter(block => block.startsWith(start))

describe('docs/metrics.md lists the metrics of the source', () => {
  const rows = new Map(rowsBelow('All metrics').map(([name, ...cells]) => [codes(name)[0] ?? '', cells]))

  test('all metrics, in their order, and no others', () => {
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

  test('each label of each metric has one row of values, and there are no other rows', () => {
    const wanted = Object.entries(metrics).flatMap(([name, { labels }]) => labels.map(label => `${label} of ${name}`))
    const listed = rowsBelow('Label values').flatMap(([names, of]) =>
      codes(of).flatMap(name => codes(names).map(label => `${label} of ${name}`)),
    )
    assert.deepEqual(listed.toSorted(), wanted.toSorted())
  })
})

/** The reasons of one part of the broker, or of one code of it. */
const from = (origin: Origin, code?: ErrorCode): readonly string[] =>
  reasons.filter(each => each.origin === origin && (code ?? each.code) === each.code).map(({ reason }) => reason)

/** The endpoints that issue tokens, those of an agent included. */
const agentOptions = { tenant: 'contoso', credential: 'x' }
const issuing = [...tokenEndpoints(), metadataEndpoint(agentOptions), ...sidecarEndpoints(agentOptions)]

describe('docs/metrics.md lists the values that the source can give a label', () => {
  const refusals = from('caller', 'invalid_token')
  const [exchange, identity] = [from('exchange'), from('identity')]
  // Not in the histogram of the exchanges: Entra was not called, or its response was valid and could not be used.
  const cache = from('cache')
  const cachedReasons = reasons.filter(each => each.cachedFor !== 'nothing' && each.origin !== 'agent')
  const rows: readonly (readonly [metric: string, label: string, values: readonly string[]])[] = [
    ['token_broker_requests_total', 'endpoint', [...new Set(issuing.map(({ name }) => name)), ...otherEndpoints]],
    ['token_broker_requests_total', 'outcome', ['issued', 'ok', 'not_ready', ...Object.keys(errorTable)]],
    ['token_broker_request_duration_seconds', 'outcome', responseClasses],
    ['token_broker_denials_total', 'reason', from('policy', 'not_permitted')],
    [
      'token_broker_caller_verifications_total',
      'outcome',
      ['verified', ...refusals, 'issuer_unavailable', 'bad_credentials', 'internal_error'],
    ],
    ['token_broker_cache_requests_total', 'result', cacheOutcomes],
    [
      'token_broker_cache_refreshes_total',
      'outcome',
      [
        ...refreshOutcomes.filter(word => word !== 'failed'),
        ...exchange,
        ...identity,
        ...cache,
        ...from('circuit'),
        'internal_error',
      ],
    ],
    ['token_broker_negative_cache_hits_total', 'reason', cachedReasons.map(({ reason }) => reason)],
    ['token_broker_negative_cache_entries', 'reason', cachedReasons.map(({ reason }) => reason)],
    ['token_broker_negative_cache_entries', 'level', levels],
    ['token_broker_fair_queue_length', 'queue', waiting],
    ['token_broker_upstream_circuit_state', 'state', circuitStates],
    ['token_broker_exchange_duration_seconds', 'outcome', ['ok', ...exchange, 'internal_error']],
    ['token_broker_agent_identity_requests_total', 'outcome', ['ok', ...exchange, 'internal_error']],
    ['token_broker_agent_identity_requests_total', 'step', agentSteps],
    ['token_broker_identity_fetch_duration_seconds', 'outcome', ['ok', ...identity, 'internal_error']],
    ['token_broker_issuer_key_fetches_total', 'outcome', ['ok', ...from('issuer')]],
    ['token_broker_policy_reloads_total', 'outcome', reloadOutcomes],
    ['token_broker_ignored_headers_total', 'header', forwarding],
    ['token_broker_dropped_connections_total', 'reason', dropReasons],
    ['token_broker_shared_lookup_duration_seconds', 'outcome', sharedLookUpOutcomes],
    ['token_broker_shared_stores_total', 'outcome', sharedStoreOutcomes],
    ['token_broker_shared_leases_total', 'outcome', leaseOutcomes],
    ['token_broker_upstream_healthy', 'kind', upstreamKinds],
  ]
  for (const [metric, label, values] of rows)
    test(`${label} of ${metric}`, () => {
      assert.ok(values.length > 1, values.join())
      assert.deepEqual([...(valuesOf(metric, label) ?? [])].toSorted(), [...new Set(values)].toSorted())
    })
})

const questions = rowsBelow('Useful queries').flatMap(([question = '', cell]) =>
  codes(cell).map(expr => ({ alert: question, expr })),
)
/** The dashboard's queries without the labels that Prometheus adds. */
const ofDashboard = [
  ...panels.flatMap(({ title, queries: exprs }) => exprs.map(expr => ({ alert: title, expr }))),
  ...dashboard.annotations.list.map(({ expr }) => ({ alert: 'annotation', expr })),
].map(({ alert, expr }) => ({ alert, expr: expr.replaceAll('job="$job",instance=~"$instance"', '') }))
const queries = [
  ...alerts,
  ...ofDashboard,
  ...recordings.map(({ record, expr }) => ({ alert: record, expr })),
  ...questions,
]

describe('the PromQL of docs/metrics.md, the alerts and the dashboard uses metrics and labels that exist', () => {
  test('the page has PromQL', () => assert.ok(alerts.length > 10 && questions.length > 10))

  for (const { alert, expr } of queries)
    test(`${alert}: ${expr.replace(/\s+/g, ' ').slice(0, 60)}`, () => {
      for (const [, series = ''] of expr.matchAll(/\b((?:token_broker|process|nodejs)_\w+)/g)) {
        const metric = metricOf(series)
        assert.ok(metric in metrics, series)
        assert.equal(metric !== series, metrics[metric]?.type === 'histogram', `${series} is not scraped`)
      }
      for (const [, series = '', matchers = ''] of expr.matchAll(/\b(token_broker_\w+)\{([^}]*)\}/g))
        for (const [, label = '', operator = '', value = ''] of matchers.matchAll(/(\w+)(=~|!~|!?=)"([^"]*)"/g)) {
          const values = label === 'le' ? requestBuckets.map(String) : [...(valuesOf(metricOf(series), label) ?? [])]
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
    const { status, said } = promtool(['check', 'rules', rulesFile])
    assert.equal(status, 0, said)
    assert.match(said, new RegExp(`${alerts.length + recordings.length} rules found`))
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

  test('rejects a wrong query', () => {
    const { status } = check('groups: [{ name: x, rules: [{ alert: x, expr: "rate(x)" }] }]', 'check', 'rules')
    assert.notEqual(status, 0)
  })
})

test('the broker accepts the rule for the scraper', () => {
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
