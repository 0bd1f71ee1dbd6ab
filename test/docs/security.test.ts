import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const threats = [...sectionOf(read('SECURITY.md'), '## Who might try what').matchAll(/^\| (.+) \| .+ \| (`.+) \|$/gm)]

describe('every threat of SECURITY.md names tests that are there', () => {
  test('and the table is read whole', () => {
    const lines = sectionOf(read('SECURITY.md'), '## Who might try what').split('\n')
    assert.equal(threats.length, lines.filter(line => line.startsWith('| ')).length - 1)
  })

  for (const [, attacker = '', tests = ''] of threats)
    test(attacker, () => {
      const named = [...tests.matchAll(/`(test\/[\w/.-]+\.test\.ts)` \("(.+?)"\)/g)]
      assert.equal(named.length, tests.split('`test/').length - 1, 'each file with words of the name of a test')
      for (const [, path = '', words = ''] of named) assert.ok(read(path).includes(words), `${path}: ${words}`)
    })
})
