import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promtool, withoutPromtool } from '../support/promtool.ts'
import { alerts as rules, rulesFile } from './alert-rules.ts'
import { rows as otherRows } from './metrics-alert-rows.ts'
import { causeRows } from './metrics-cause-rows.ts'
import { objectiveRows } from './metrics-objective-rows.ts'
import { serviceRows } from './metrics-service-rows.ts'

const rows = { ...otherRows, ...serviceRows, ...causeRows, ...objectiveRows }

describe('the alerts fire when they should', { skip: withoutPromtool }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const alerts = rules.map(({ alert }) => alert)

  for (const [what, { samples, at, fires }] of Object.entries(rows))
    test(what, () => {
      const queries = [...new Set([...alerts.filter(() => Object.keys(fires).length === 0), ...Object.keys(fires)])]
      const unit = {
        rule_files: [rulesFile],
        evaluation_interval: '1m',
        tests: [
          {
            interval: '1m',
            input_series: samples.map(([series, values]) => ({ series, values })),
            promql_expr_test: queries.map(alert => ({
              expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
              eval_time: `${at}m`,
              exp_samples: fires[alert] === true ? [{ labels: '{}', value: 1 }] : [],
            })),
          },
        ],
      }
      const file = join(folder, 'unit.yml')
      writeFileSync(file, JSON.stringify(unit))
      const { status, said } = promtool(['test', 'rules', file])
      assert.equal(status, 0, said)
    })

  test('every alert fires in one of them', () => {
    const fired = Object.values(rows).flatMap(({ fires }) => Object.keys(fires).filter(alert => fires[alert] === true))
    assert.deepEqual([...new Set(fired)].toSorted(), alerts.toSorted())
  })
})
