import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compiledPaths, recordOf, recordPath } from '../../scripts/infra/compiled.ts'
import { read } from '../support/sources.ts'

/** Without a Bicep CLI, this is what holds the compiled files to their sources. */
test('the compiled files belong to the sources of infra/: npm run infra compiles them again', () => {
  const files = new Map(compiledPaths.map(path => [path, read(path)]))
  assert.equal(read(recordPath), recordOf(files))
})
