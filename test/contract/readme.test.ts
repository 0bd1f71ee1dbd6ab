import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy-parse.ts'
import { errorTable } from '../../src/errors.ts'
import { exitCodes } from '../../src/main.ts'
import { read, sourcesBelow } from './sources.ts'

const readme = read('README.md')

/** The first cells of the rows of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const section = readme.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, cell]) => cell ?? '')
}

describe('the README is true', () => {
  test('it lists every setting that is read, and no other', () => {
    const names = /read\s*\.(?:text|required|integer|boolean|choice)\(\s*'([A-Z_]+)'/g
    const readByConfig = [...read('src/config.ts').matchAll(names)].map(([, name]) => name ?? '')
    assert.deepEqual(
      firstCells('Configuration').toSorted(),
      [...new Set(readByConfig)]
        .filter(name => !['IDENTITY_SERVER_THUMBPRINT', 'NODE_TLS_REJECT_UNAUTHORIZED'].includes(name))
        .toSorted(),
    )
  })

  test('it lists every error code with its status', () => {
    const listed = [...readme.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code, status]) => `${code} ${status}`)
    const known = Object.entries(errorTable).map(([code, { status }]) => `${code} ${status}`)
    assert.deepEqual(listed.toSorted(), known.toSorted())
  })

  test('it lists every exit code', () => {
    const listed = [...readme.matchAll(/^\| (\d) \| (?:stopped|failed|usage|configuration|listen)/gm)].map(([, code]) =>
      Number(code),
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
    const policy = /```yaml\n(applications:[\s\S]+?)```/.exec(readme)?.[1]
    assert.deepEqual(parsePolicy(policy ?? '').warnings, [])
  })

  test('the files that it links to exist', () => {
    for (const [, path = ''] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) assert.ok(read(path), path)
  })
})

test('no source file has more than 250 lines', () => {
  const long = ['src', 'emulator', 'test', 'bench']
    .flatMap(folder => sourcesBelow(folder))
    .filter(path => read(path).split('\n').length > 251)
  assert.deepEqual(long, [])
})
