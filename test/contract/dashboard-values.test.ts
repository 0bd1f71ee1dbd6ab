import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { rulesFile } from './alert-rules.ts'
import { colourOf, dashboard, panels } from './dashboard-file.ts'
import { but, from, type Row } from './metrics-alert-rows.ts'

/** What a panel of the present shows: a value for each series, named by its labels. */
type Shown = Readonly<Record<string, number>>

interface Situation {
  readonly samples: Row['samples']
  /** By title. Without a value the panel shows its text for "no data". */
  readonly shows: Readonly<Record<string, Shown>>
  /** Which of them are red. */
  readonly red?: readonly string[]
}

const requests = (outcome: string) => `token_broker_requests_total{${from},endpoint="tokens",outcome="${outcome}"}`
const clock = `token_broker_upstream_clock_offset_seconds{${from},kind="authority",name="x"}`
const cached = (suffix: string, le = '') =>
  `token_broker_request_duration_seconds_${suffix}{${from},endpoint="tokens",outcome="cached"${le && `,le="${le}"`}}`
const exchanges = (le: string) => `token_broker_exchange_duration_seconds_bucket{${from},outcome="ok",le="${le}"}`

/** At the end of an hour. */
const situations: Readonly<Record<string, Situation>> = {
  'all is well': {
    samples: [],
    shows: {
      'Token requests failing now': { '{job="token-broker"}': 0 },
      'Error codes now': {},
      'Tokens at risk': { '{}': 0 },
      'First token unusable in': {},
      'Failing upstreams': {},
      "Clock compared with Entra's": { '{clock="ahead"}': 0 },
      'Redis now': { '{}': 1 },
      'Policy file': { '{}': 0 },
      'Firing alerts': {},
    },
  },
  'no caller gets a token: the broker itself is well, and its objective stays green': {
    samples: [
      [requests('issued'), '0+500x20 10000x40'],
      [requests('identity_unavailable'), '0x20 0+60x40'],
      [requests('issuer_unavailable'), '0x20 0+120x40'],
    ],
    shows: {
      'Token requests failing now': { '{job="token-broker"}': 1 },
      'Error codes now': { '{outcome="identity_unavailable"}': 1, '{outcome="issuer_unavailable"}': 2 },
      'Errors of the broker itself': { '{job="token-broker"}': 0 },
      'Firing alerts': { '{alertname="TokenBrokerRequestErrorsHigh", severity="critical"}': 1 },
    },
    red: ['Token requests failing now'],
  },
  'one request in ten is refused because of its caller or tenant': {
    samples: [
      [requests('not_permitted'), '0+30x60'],
      [requests('consent_required'), '0+30x60'],
    ],
    shows: {
      'Token requests failing now': { '{job="token-broker"}': 0 },
      'Error codes now': { '{outcome="not_permitted"}': 0.5, '{outcome="consent_required"}': 0.5 },
    },
  },
  'no requests': {
    samples: [[requests('issued'), '7x60']],
    shows: { 'Token requests failing now': {}, 'Error codes now': {}, 'Errors of the broker itself': {} },
  },
  'a token at risk, and one that has expired since': {
    samples: [
      [`token_broker_cache_entries_at_risk{${from}}`, '0x58 1 1'],
      [`token_broker_cache_at_risk_usable_seconds{${from}}`, '0x58 180 120'],
    ],
    shows: { 'Tokens at risk': { '{}': 1 }, 'First token unusable in': { '{}': 120 } },
    red: ['Tokens at risk', 'First token unusable in'],
  },
  'a clock that is behind': {
    samples: [[clock, '-7x60']],
    shows: { "Clock compared with Entra's": { '{clock="behind"}': 7 } },
    red: ["Clock compared with Entra's"],
  },
  'two replicas, one ahead and one behind': {
    samples: [
      [clock, '2x60'],
      [clock.replace('instance="a"', 'instance="b"'), '-1x60'],
    ],
    shows: { "Clock compared with Entra's": { '{clock="ahead"}': 2, '{clock="behind"}': 1 } },
  },
  'a few slow tokens at the start': {
    samples: [
      [cached('count'), '0x10 0 40 80 90x47'],
      [cached('bucket', '0.025'), '0x10 0 20 60 70x47'],
    ],
    shows: { 'Slow cached tokens': {} },
  },
  'one slow token in five': {
    samples: [
      [cached('count'), '0+10x60'],
      [cached('bucket', '0.025'), '0+8x60'],
    ],
    shows: { 'Slow cached tokens': { '{job="token-broker"}': 0.2 } },
    red: ['Slow cached tokens'],
  },
  'Entra is slow': {
    samples: [
      [exchanges('1'), '0x60'],
      [exchanges('2.5'), '0+10x60'],
      [exchanges('+Inf'), '0+10x60'],
    ],
    shows: { 'Latency of Entra now': { '{}': 2.425 } },
    red: ['Latency of Entra now'],
  },
  'no exchange for an hour': {
    samples: [
      [exchanges('1'), '5x60'],
      [exchanges('+Inf'), '5x60'],
    ],
    shows: { 'Latency of Entra now': {} },
  },
  'the policy file is refused, and Redis does not respond': {
    samples: [
      [`token_broker_policy_refused{${from}}`, '1x60'],
      [`token_broker_shared_available{${from}}`, '0x60'],
      [`token_broker_upstream_healthy{${from},kind="identity",name="managed-identity"}`, '0x60'],
    ],
    shows: {
      'Policy file': { '{}': 1 },
      'Redis now': { '{}': 0 },
      'Failing upstreams': { '{kind="identity", name="managed-identity"}': 1 },
    },
    red: ['Policy file', 'Redis now', 'Failing upstreams'],
  },
  'a key with a day left': {
    samples: [[`token_broker_api_key_expiry_timestamp_seconds{${from},key="erp"}`, '90000x60']],
    shows: { 'Next expiry': { '{}': 86_400 } },
    red: ['Next expiry'],
  },
  'a key with a week left: orange, not red': {
    samples: [[`token_broker_api_key_expiry_timestamp_seconds{${from},key="erp"}`, `${7 * 86_400 + 3600}x60`]],
    shows: { 'Next expiry': { '{}': 7 * 86_400 } },
  },
  'one of two replicas is not ready': {
    samples: [['token_broker_ready{job="token-broker",instance="b"}', '0x60']],
    shows: { 'Ready replicas': { '{}': 1 } },
  },
  'no replica is ready': {
    samples: [[`token_broker_ready{${from}}`, '0x60']],
    shows: { 'Ready replicas': { '{}': 0 } },
    red: ['Ready replicas'],
  },
}

describe('the panels of the present', { skip: withoutPromtool }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const queryOf = (title: string): string => {
    const expr = panels.find(panel => panel.title === title)?.queries.at(-1)
    assert.ok(expr, `no panel is named ${title}`)
    return expr.replaceAll('$job', 'token-broker').replaceAll('$instance', '.+')
  }

  for (const [what, { samples, shows, red = [] }] of Object.entries(situations))
    test(what, () => {
      const unit = {
        rule_files: [rulesFile],
        evaluation_interval: '1m',
        tests: [
          {
            interval: '1m',
            input_series: but(...samples).map(([series, values]) => ({ series, values })),
            promql_expr_test: Object.entries(shows).map(([title, shown]) => ({
              expr: `round(${queryOf(title)}, 0.001)`,
              eval_time: '60m',
              exp_samples: Object.entries(shown).map(([labels, value]) => ({ labels, value })),
            })),
          },
        ],
      }
      const file = join(folder, 'unit.yml')
      writeFileSync(file, JSON.stringify(unit))
      const { status, said } = promtool(['test', 'rules', file])
      assert.equal(status, 0, said)
      const isRed = (title: string) => Object.values(shows[title] ?? {}).some(value => colourOf(title, value) === 'red')
      assert.deepEqual(Object.keys(shows).filter(isRed), red)
    })

  test('each of them has a situation above in which it shows a value', () => {
    const shown = new Set(
      Object.values(situations).flatMap(({ shows }) =>
        Object.entries(shows).flatMap(([title, values]) => (Object.keys(values).length === 0 ? [] : [title])),
      ),
    )
    const present = dashboard.panels.filter(({ type }) => type === 'stat' || type === 'table')
    assert.deepEqual(
      present.map(({ title }) => title).filter(title => !shown.has(title)),
      [],
    )
  })

  test('are instant queries, with a text for "no data" that says what it means', () => {
    for (const { type, title, targets, fieldConfig } of dashboard.panels) {
      if (type === 'row') continue
      assert.notEqual(fieldConfig?.defaults.noValue ?? '', '', title)
      for (const { instant } of targets ?? [])
        assert.equal(instant === true, type === 'stat' || type === 'table', title)
    }
  })
})
