import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withTable } from '../../scripts/infra/parameter-table.ts'
import { filesBelow, read } from '../support/sources.ts'
import { compiled } from './template.ts'

const page = read('infra/README.md')

describe('infra/README.md', () => {
  test('has the parameters of main.bicep: npm run infra writes the table', () =>
    assert.equal(page, withTable(page, compiled)))

  test('has the variables that main.bicepparam reads, with their defaults, but for those that azd sets', () => {
    const variables = [
      ...read('infra/main.bicepparam').matchAll(/readEnvironmentVariable\('(BROKER_\w+)', '([^']*)'\)/g),
    ]
    const rows = [...page.matchAll(/^\| `(BROKER_\w+)` \| (?:`([^`]*)`|–) \|/gm)]
    const pairs = (matches: readonly RegExpExecArray[]) => new Map(matches.map(([, name, value = '']) => [name, value]))
    assert.ok(rows.length >= 6)
    assert.deepEqual(pairs(rows), pairs(variables))
  })

  test('names every file and every module', () => {
    for (const path of filesBelow('infra')) {
      const [, module] = /^infra\/modules\/([\w-]+)\.bicep$/.exec(path) ?? []
      const name = module ?? path.replace('infra/', '')
      if (/^(?:README\.md|bicepconfig\.json|modules\/workbook\.json)$/.test(name)) continue
      assert.ok(page.includes(`\`${name}\``), name)
    }
  })
})
