import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import { lint, render, renderNotes, valueFiles, withHelm } from './helm.ts'

/** `UPDATE_RENDERED=1` writes the copies again. Read the difference before you commit it. */
const update = process.env['UPDATE_RENDERED'] === '1'
const folder = join(import.meta.dirname, './rendered')

/** Compares a text with its stored copy, or stores it. */
function compare(file: string, text: string): void {
  const path = join(folder, file)
  if (update) writeFileSync(path, text)
  let stored = ''
  try {
    stored = readFileSync(path, 'utf8')
  } catch {
    // Missing: as good as empty.
  }
  assert.equal(text, stored, `test/chart/rendered/${file} is different. If the new text is right: UPDATE_RENDERED=1`)
}

describe('the chart, rendered by Helm 4', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml renders to the stored copy`, async () => compare(`${name}.yaml`, await render(name)))
    test(`${name}.yaml has the stored notes`, async () => compare(`${name}.notes.txt`, await renderNotes(name)))
    test(`${name}.yaml passes helm lint --strict`, async () => assert.match(await lint(name), / 0 chart\(s\) failed/))
  }

  test('every stored copy belongs to a value file', () => {
    const stored = globSync('*', { cwd: folder }).map(file => basename(file).replace(/(\.notes\.txt|\.yaml)$/, ''))
    assert.deepEqual([...new Set(stored)].toSorted(), valueFiles)
  })
})
