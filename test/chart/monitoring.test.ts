import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { parse } from 'yaml'
import { parseManifests, render, withHelm } from './helm.ts'
import type { IPrometheusRule } from './service-monitor.ts'
import { read } from '../support/sources.ts'

const rulesWith = async (...values: readonly string[]): Promise<IPrometheusRule> => {
  const text = await render('minimal', '--set', ['prometheusRule.enabled=true', ...values].join())
  const found = parseManifests(text).filter(({ kind }) => kind === 'PrometheusRule')
  assert.equal(found.length, 1)
  return found[0] as unknown as IPrometheusRule
}

describe('the alerts in the chart', withHelm, () => {
  test('are off by default', async () => assert.doesNotMatch(await render('minimal'), /PrometheusRule/))

  test('are those of alerts/token-broker.rules.yaml', async () => {
    const { spec, metadata } = await rulesWith('prometheusRule.labels.release=monitoring')
    assert.deepEqual(spec, parse(read('alerts/token-broker.rules.yaml')))
    assert.equal(metadata.labels['release'], 'monitoring')
  })

  for (const base of ['https://wiki.example/broker', 'https://wiki.example/broker/'])
    test(`have runbooks below ${base}`, async () => {
      const { spec } = await rulesWith(`prometheusRule.runbookBaseUrl=${base}`)
      const urls = spec.groups.flatMap(({ rules }) =>
        rules.flatMap(({ annotations }) => annotations?.['runbook_url'] ?? []),
      )
      assert.ok(urls.length > 20)
      for (const url of urls) assert.match(url, /^https:\/\/wiki\.example\/broker\/docs\/alerts\.md#tokenbroker\w+$/)
    })

  test('have no runbook at an address that is not http or https', async () => {
    await assert.rejects(render('minimal', '--set', 'prometheusRule.runbookBaseUrl=javascript:x'), /runbookBaseUrl/)
  })
})

describe('the dashboard in the chart', withHelm, () => {
  test('is off by default', async () => assert.doesNotMatch(await render('minimal'), /grafana_dashboard/))

  test('is dashboards/token-broker.json, in a ConfigMap with the label of the sidecar', async () => {
    const text = await render(
      'minimal',
      '--set',
      'grafanaDashboard.enabled=true,grafanaDashboard.annotations.grafana_folder=x',
    )
    const found = parseManifests(text).find(({ metadata }) => metadata.name.endsWith('-dashboard'))
    const { kind, metadata, data } = found as unknown as IConfigMap
    assert.equal(kind, 'ConfigMap')
    assert.equal(metadata?.labels?.['grafana_dashboard'], '1')
    assert.equal(metadata?.annotations?.['grafana_folder'], 'x')
    assert.deepEqual(JSON.parse(data?.['token-broker.json'] ?? ''), JSON.parse(read('dashboards/token-broker.json')))
  })
})
