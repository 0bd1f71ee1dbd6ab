import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { rulesFile } from './alert-rules.ts'
import { dashboard, panels } from './dashboard-file.ts'

/** What the first row of the dashboard shows, and which of its numbers are red, as Prometheus computes them. */

const a = 'job="token-broker",instance="a"'
const b = 'job="token-broker",instance="b"'
/** A series of another installation of the broker in the same Prometheus. */
const other = 'job="other",instance="a"'
const requests = (from: string, outcome: string, endpoint = 'tokens') =>
  `token_broker_requests_total{${from},endpoint="${endpoint}",outcome="${outcome}"}`
const bucket = (le: string, outcome = 'ok') =>
  `token_broker_exchange_duration_seconds_bucket{${a},outcome="${outcome}",le="${le}"}`
const hour = 3600

interface Row {
  readonly what: string
  readonly panel: string
  /** One sample a minute for an hour. */
  readonly series: Readonly<Record<string, string>>
  /** Absent: no value. */
  readonly shows?: number
  readonly isRed: boolean
}

const rows: readonly Row[] = [
  {
    what: 'half of the replicas',
    panel: 'Ready replicas',
    series: { [`token_broker_ready{${a}}`]: '1x60', [`token_broker_ready{${b}}`]: '0x60' },
    shows: 1,
    isRed: false,
  },
  {
    what: 'none is ready',
    panel: 'Ready replicas',
    series: { [`token_broker_ready{${a}}`]: '0x60' },
    shows: 0,
    isRed: true,
  },
  {
    what: 'two of this broker, and one of another',
    panel: 'Firing alerts',
    series: {
      [`token_broker_policy_refused{${a}}`]: '1x60',
      [`token_broker_policy_refused{${other}}`]: '1x60',
      [`token_broker_upstream_healthy{${a},kind="authority",name="x"}`]: '0x60',
    },
    shows: 2,
    isRed: true,
  },
  { what: 'none', panel: 'Firing alerts', series: {}, shows: 0, isRed: false },
  {
    what: 'of both replicas',
    panel: 'Tokens at risk',
    series: {
      [`token_broker_cache_entries_at_risk{${a}}`]: '2x60',
      [`token_broker_cache_entries_at_risk{${b}}`]: '3x60',
    },
    shows: 5,
    isRed: true,
  },
  {
    what: 'in four minutes',
    panel: 'First token unusable in',
    series: { [`token_broker_cache_at_risk_usable_seconds{${a}}`]: '240x60' },
    shows: 240,
    isRed: true,
  },
  {
    what: 'one, in both replicas',
    panel: 'Failing upstreams',
    series: {
      [`token_broker_upstream_healthy{${a},kind="issuer",name="x"}`]: '0x60',
      [`token_broker_upstream_healthy{${b},kind="issuer",name="x"}`]: '0x60',
    },
    shows: 2,
    isRed: true,
  },
  {
    what: 'the larger one, whatever its direction',
    panel: 'Clock offset from Entra',
    series: {
      [`token_broker_upstream_clock_offset_seconds{${a},kind="authority",name="x"}`]: '1x60',
      [`token_broker_upstream_clock_offset_seconds{${b},kind="authority",name="x"}`]: '-250x60',
    },
    shows: 250,
    isRed: true,
  },
  {
    what: 'one in ten, by whatever error; other endpoints do not count',
    panel: 'Failed token requests',
    series: {
      [requests(a, 'issued')]: '0+54x60',
      [requests(b, 'issued')]: '0+36x60',
      [requests(a, 'consent_required', 'oauth_token')]: '0+10x60',
      [requests(a, 'ok', 'health')]: '0+500x60',
      [requests(a, 'not_ready', 'readyz')]: '0+500x60',
    },
    shows: 0.1,
    isRed: true,
  },
  {
    what: 'none failed',
    panel: 'Failed token requests',
    series: { [requests(a, 'issued')]: '0+54x60' },
    shows: 0,
    isRed: false,
  },
  { what: 'none was sent', panel: 'Failed token requests', series: { [requests(a, 'issued')]: '7x60' }, isRed: false },
  {
    what: 'half of the exchanges take more than a second',
    panel: 'Latency of Entra, 95 %',
    series: { [bucket('1.0')]: '0+5x60', [bucket('2.5')]: '0+10x60', [bucket('+Inf')]: '0+10x60' },
    shows: 2.35,
    isRed: true,
  },
  {
    what: 'failed ones do not count',
    panel: 'Latency of Entra, 95 %',
    series: {
      [bucket('0.1')]: '0+10x60',
      [bucket('+Inf')]: '0+10x60',
      [bucket('10.0', 'timeout')]: '0+10x60',
      [bucket('+Inf', 'timeout')]: '0+10x60',
    },
    shows: 0.095,
    isRed: false,
  },
  {
    what: 'of one of two replicas',
    panel: 'Policy files refused',
    series: { [`token_broker_policy_refused{${a}}`]: '0x60', [`token_broker_policy_refused{${b}}`]: '1x60' },
    shows: 1,
    isRed: true,
  },
  {
    what: 'the certificate, tomorrow',
    panel: 'First key or certificate expires in',
    series: {
      [`token_broker_certificate_expiry_timestamp_seconds{${a},kind="tls",name="CN=broker"}`]: `${25 * hour}x60`,
      [`token_broker_api_key_expiry_timestamp_seconds{${a},key="crm"}`]: `${900 * hour}x60`,
    },
    shows: 24 * hour,
    isRed: true,
  },
  {
    what: 'an API key, and there is no certificate',
    panel: 'First key or certificate expires in',
    series: { [`token_broker_api_key_expiry_timestamp_seconds{${a},key="crm"}`]: `${901 * hour}x60` },
    shows: 900 * hour,
    isRed: false,
  },
  { what: 'there are none', panel: 'First key or certificate expires in', series: {}, isRed: false },
]

/** Whether Grafana shows a number in red, by the thresholds of its panel. */
function isRed(title: string, value: number | undefined): boolean {
  const steps = dashboard.panels.find(panel => panel.title === title)?.fieldConfig?.defaults.thresholds.steps ?? []
  const reached = steps.filter(step => value !== undefined && (step.value === null || value >= step.value))
  return reached.at(-1)?.color === 'red'
}

describe('the first row of the dashboard', { skip: withoutPromtool }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  for (const { what, panel, series, shows, isRed: expected } of rows)
    test(`${panel}: ${what}`, () => {
      const [query = ''] = panels.find(({ title }) => title === panel)?.queries ?? []
      const expr = query
        .replaceAll('$job', 'token-broker')
        .replaceAll('$instance', '.+')
        .replaceAll('$__rate_interval', '5m')
      const unit = {
        rule_files: [rulesFile],
        evaluation_interval: '1m',
        tests: [
          {
            interval: '1m',
            input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
            promql_expr_test: [
              // Rounded: quantiles and shares are not exact.
              {
                expr: `round(${expr}, 0.001)`,
                eval_time: '60m',
                exp_samples: shows === undefined ? [] : [{ labels: '{}', value: shows }],
              },
            ],
          },
        ],
      }
      const file = join(folder, 'unit.yml')
      writeFileSync(file, JSON.stringify(unit))
      const { status, said } = promtool(['test', 'rules', file])
      assert.equal(status, 0, said)
      assert.equal(isRed(panel, shows), expected)
    })

  test('has a row above for each number, but for those of the recorded rules', () => {
    const first = dashboard.panels.findIndex(({ type, title }) => type === 'row' && title !== 'State')
    const stats = dashboard.panels.slice(1, first).map(({ title }) => title)
    assert.deepEqual(
      stats.filter(title => !rows.some(({ panel }) => panel === title)),
      ['Errors of the broker itself', 'Slow cached tokens'],
    )
  })
})
