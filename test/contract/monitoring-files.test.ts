import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { monitoringFiles } from '../../scripts/monitoring/build.ts'
import { anchorsOf } from '../docs/tables.ts'
import { read } from '../support/sources.ts'
import { alerts, recordings } from './alert-rules.ts'

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
    const [prefix = ''] = recordings.map(({ record }) => record)
    assert.ok(page.includes(`\`${prefix}\``))
    for (const { record } of recordings) assert.ok(page.includes(/ratio_rate(\w+)$/.exec(record)?.[1] ?? '?'), record)
  })
})
