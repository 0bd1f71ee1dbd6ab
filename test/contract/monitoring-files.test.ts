import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { monitoringFiles } from '../../scripts/monitoring/build.ts'
import { anchorsOf } from '../docs/tables.ts'
import { read } from '../support/sources.ts'
import { alerts, recordings } from './alert-rules.ts'
import { dashboard } from './dashboard-file.ts'

describe('the files that "npm run monitoring" writes', async () => {
  for (const [file, text] of await monitoringFiles())
    test(`${file} is up to date`, () => assert.equal(read(file), text, `${file} is outdated: run "npm run monitoring"`))
})

describe('docs/alerts.md is the runbook of the alerts', () => {
  const page = read('docs/alerts.md')
  const sections = new Map(
    page
      .split(/^### /m)
      .slice(1)
      .map(section => [/^\w+/.exec(section)?.[0] ?? '', section.split(/^## /m)[0] ?? '']),
  )

  test('it has one section for each alert, and no others', () => {
    assert.deepEqual([...sections.keys()].toSorted(), alerts.map(({ alert }) => alert).toSorted())
  })

  test('each section says what the alert means, how to confirm it and what to do, in this order', () => {
    for (const [alert, section] of sections) {
      const parts = [...section.matchAll(/^- \*\*(\w+):\*\* \S/gm)].map(([, part]) => part)
      assert.deepEqual(parts, ['Meaning', 'Confirm', 'Do'], alert)
    }
  })

  test('runbook_url of each alert leads to its section', () => {
    const anchors = anchorsOf(page)
    for (const { alert, annotations } of alerts) {
      const [path, anchor = ''] = annotations.runbook_url.split('#')
      assert.equal(path, 'docs/alerts.md')
      assert.equal(anchor, alert.toLowerCase())
      assert.ok(anchors.has(anchor), anchor)
    }
  })

  test('it names the recorded series', () => {
    for (const { record } of recordings) {
      const [, prefix = '?', window = '?'] = /^(.*:ratio_rate)(\w+)$/.exec(record) ?? []
      assert.ok(page.includes(`\`${prefix}5m\``), record)
      assert.match(page, new RegExp(`\`${window}\`|${prefix}${window}`), record)
    }
  })
})

describe('dashboards/token-broker.json', () => {
  test('has the fields that Grafana needs to import and update it', () => {
    assert.equal(dashboard.uid, 'token-broker')
    assert.equal(dashboard.schemaVersion, 39)
    assert.deepEqual(
      dashboard.templating.list.map(({ name }) => name),
      ['datasource', 'job', 'instance'],
    )
  })

  test('each panel has an id and a title of its own, and a query', () => {
    for (const key of ['id', 'title'] as const)
      assert.equal(new Set(dashboard.panels.map(panel => panel[key])).size, dashboard.panels.length, key)
    for (const { title, type, targets = [] } of dashboard.panels) {
      assert.equal(targets.length > 0, type !== 'row', title)
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
      if (type === 'stat' || type === 'table') continue
      for (const { expr } of targets) assert.doesNotMatch(expr, /\[\d+[smh]\]/, `${title} ignores the time range`)
    }
  })

  test('no two panels overlap, and none is wider than the grid', () => {
    const taken = new Set<string>()
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, title)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.ok(!taken.has(`${x},${y}`), title)
          taken.add(`${x},${y}`)
        }
    }
  })
})
