import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { errorTable, FaultsError } from '../../src/errors.ts'
import { exitCodes } from '../../src/exit.ts'
import { rowsOf, sectionOf } from './tables.ts'
import { read, sourcesBelow } from '../support/sources.ts'

const readme = read('README.md')

/** The first cells of the rows of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const section = readme.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, cell]) => cell ?? '')
}

/** What is missing in an environment, by the variables' names. */
function missingIn(environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof FaultsError)
    return thrown.faults.map(({ where }) => where)
  }
}

describe('the README is true', () => {
  test('it lists every setting without which the broker does not start, and no setting that there is not', () => {
    const listed = firstCells('Configuration')
    const all = new Set(rowsOf(sectionOf(read('docs/configuration.md'), '## All settings')).map(([name]) => name))
    assert.deepEqual(
      listed.filter(name => !all.has(name)),
      [],
    )
    const sources = ['managed-identity', 'workload-identity']
    const missing = new Set(sources.flatMap(source => missingIn({ BROKER_IDENTITY_SOURCE: source })))
    const required = rowsOf(sectionOf(readme, '## Configuration')).filter(([, cell]) => cell?.startsWith('required'))
    assert.deepEqual(new Set(required.map(([name]) => name)), missing)
  })

  test('it lists every status of an error', () => {
    const section = sectionOf(readme, '## Asking for a token')
    const listed = [...section.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, cell = '']) => cell.split(', '))
    const known = new Set(Object.values(errorTable).map(({ status }) => String(status)))
    assert.deepEqual(listed.toSorted(), [...known].toSorted())
    for (const [, code = ''] of section.matchAll(/\(`(\w+)`\)/g)) assert.ok(code in errorTable, code)
  })

  test('it lists every exit code', () => {
    const listed = [...readme.matchAll(/^\| (\d) \| (?:stopped|failed|usage|configuration|listen|mismatch)/gm)].map(
      ([, code]) => Number(code),
    )
    assert.deepEqual(listed, Object.values(exitCodes))
  })

  test('the npm scripts that it names exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const named = [...readme.matchAll(/(?:`|^)npm (?:run )?([a-z:-]+)/gm)].map(([, name]) => name ?? '')
    assert.deepEqual(
      named.filter(name => !(name in scripts)),
      [],
    )
  })

  test('its policy is one that the broker accepts and acts upon whole', () => {
    const policy = /```yaml\n(#[^\n]*\napplications:[\s\S]+?)```/.exec(readme)?.[1]
    assert.deepEqual(parsePolicy(policy ?? '').warnings, [])
  })

  test('the files that it links to exist', () => {
    for (const [, path = ''] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) assert.ok(read(path), path)
  })
})

test('no source file has more than 250 lines', () => {
  const long = ['src', 'openapi', 'emulator', 'test', 'bench']
    .flatMap(folder => sourcesBelow(folder))
    .filter(path => read(path).split('\n').length > 251)
  assert.deepEqual(long, [])
})
