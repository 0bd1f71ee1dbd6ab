import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { errorTable, InvalidConfigurationError } from '../../src/errors.ts'
import { exitCodes } from '../../src/exit.ts'
import { rowsOf, sectionOf } from './tables.ts'
import { read, sourcesBelow } from '../support/sources.ts'

const readme = read('README.md')

/** The names in the first cells of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const section = readme.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| ((?:`[^`]+`(?:, )?)+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''),
  )
}

/** The names of the variables that are missing in an environment. */
function missingIn(environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors.map(({ where }) => where)
  }
}

describe('the README is true', () => {
  test('it lists every setting without which the broker does not start, and only settings that exist', () => {
    const listed = firstCells('Deploy')
    const all = new Set(rowsOf(sectionOf(read('docs/configuration.md'), '## All settings')).map(([name]) => name))
    assert.deepEqual(
      listed.filter(name => !all.has(name)),
      [],
    )
    const sources = ['managed-identity', 'workload-identity']
    const missing = new Set(sources.flatMap(source => missingIn({ BROKER_IDENTITY_SOURCE: source })))
    const required = rowsOf(sectionOf(readme, '## Deploy')).filter(([, cell]) => cell?.startsWith('required'))
    assert.deepEqual(new Set(required.map(([name]) => name)), missing)
  })

  test('it is at most 200 lines', () => assert.ok(readme.trimEnd().split('\n').length <= 200))

  // test/docs/errors.test.ts compares that page with every code and its status.
  test('it leaves error codes to docs/errors.md, and names only codes that exist', () => {
    assert.ok(readme.includes('[docs/errors.md](docs/errors.md) has every code'))
    for (const [, code = ''] of readme.matchAll(/\(`(\w+)`\)/g))
      assert.ok(code in errorTable || code.toUpperCase() === code, code)
  })

  test('it lists every exit code', () => {
    const listed = [
      ...readme.matchAll(
        /^\| (\d) \| (?:stopped|failed|usage|configuration|listen|mismatch|unwell|refused|unavailable)/gm,
      ),
    ].map(([, code]) => Number(code))
    assert.deepEqual(listed, Object.values(exitCodes))
  })

  test('the npm scripts that it names exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const named = [...readme.matchAll(/(?:`|^)npm (?:run )?([a-z:-]+)/gm)].map(([, name]) => name ?? '')
    assert.deepEqual(
      named.filter(name => !(name in scripts) && name !== 'link'), // a command of npm's own
      [],
    )
  })

  test('the broker accepts its policy, without a warning', () => {
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
