import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const section = sectionOf(read('docs/threat-model.md'), '## Attacks')
const threats = [...section.matchAll(/^\| (.+) \| .+ \| (`.+) \|$/gm)]

describe('every attack of docs/threat-model.md names tests that exist', () => {
  test('the test reads the whole table', () => {
    assert.ok(threats.length >= 54)
    assert.equal(threats.length, section.split('\n').filter(line => line.startsWith('| ')).length - 1)
  })

  for (const [, attack = '', tests = ''] of threats)
    test(attack, () => {
      const named = [...tests.matchAll(/`(test\/[\w/.-]+\.test\.ts)` \("(.+?)"\)/g)]
      assert.equal(named.length, tests.split('`test/').length - 1, 'each file with words of the name of a test')
      for (const [, path = '', words = ''] of named) assert.ok(read(path).includes(words), `${path}: ${words}`)
    })
})
