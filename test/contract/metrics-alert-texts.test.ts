import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { alerts as rules, rulesFile } from './alert-rules.ts'
import { textRows as rows } from './metrics-alert-text-rows.ts'

describe('the texts of the alerts', () => {
  describe('are read by operators as Prometheus writes them', { skip: withoutPromtool }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    for (const { alert, series, labels, summary } of rows)
      test(`${alert}: ${summary}`, () => {
        const rule = rules.find(each => each.alert === alert)
        assert.ok(rule)
        const expected = {
          exp_labels: { ...labels, ...rule.labels },
          exp_annotations: { ...rule.annotations, summary },
        }
        const unit = {
          rule_files: [rulesFile],
          evaluation_interval: '1m',
          tests: [
            {
              interval: '1m',
              input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
              alert_rule_test: [{ eval_time: '60m', alertname: alert, exp_alerts: [expected] }],
            },
          ],
        }
        const file = join(folder, 'unit.yml')
        writeFileSync(file, JSON.stringify(unit))
        const { status, said } = promtool(['test', 'rules', file])
        assert.equal(status, 0, said)
      })
  })

  test('round every number, each of which has a row above', () => {
    for (const { alert, annotations } of rules) {
      assert.doesNotMatch(annotations.description, /\{\{/, alert)
      for (const [, value = ''] of annotations.summary.matchAll(/\{\{ *([^}]*\$value[^}]*)\}\}/g)) {
        assert.match(value, /^(?:printf "%\.0f" \$value|\$value \| humanize(?:Duration|Percentage)) *$/, alert)
        assert.ok(
          rows.some(row => row.alert === alert),
          `${alert} has no row`,
        )
      }
    }
  })

  test('say "about" where the number is extrapolated', () => {
    for (const { alert, expr, annotations } of rules) {
      const extrapolates = /increase\(/.test(expr) && annotations.summary.includes('$value')
      assert.equal(/\babout\b/i.test(annotations.summary), extrapolates, alert)
    }
  })
})
