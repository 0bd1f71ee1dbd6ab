import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { doctorCommand } from '../../src/commands/doctor.ts'
import { checkTable, sections } from '../../src/doctor/check-table.ts'
import { statuses } from '../../src/doctor/checks.ts'
import { reportOf } from '../../src/doctor/report.ts'
import { read } from '../support/sources.ts'
import { rowsOf, sectionOf } from './tables.ts'

const page = read('docs/doctor.md')

describe('docs/doctor.md is true', () => {
  test('it lists every check below its section, in order, with its meaning and what to do, and no other', () => {
    const listed = Object.values(sections).flatMap(heading => rowsOf(sectionOf(page, `### ${heading}`)))
    const known = Object.entries(checkTable).map(([id, { meaning, remedy }]) => [id, meaning, remedy])
    assert.deepEqual(listed, known)
    const headings = [...sectionOf(page, '## Checks').matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)
    assert.deepEqual(headings, Object.values(sections))
  })

  test('it lists the fields of the JSON, its sections and its statuses', () => {
    const rows = rowsOf(sectionOf(page, '## JSON'))
    const line = {
      id: 'network.dns',
      status: 'failed',
      subject: '',
      text: '',
      advice: '',
      fix: [''],
      because: 'network.tcp',
    } as const
    const report = reportOf([line], { startedAt: 0, ms: 0, exchanges: 0 })
    const fields = [...Object.keys(report), ...Object.keys(report.checks[0] ?? {})]
    assert.deepEqual(new Set(rows.map(([field]) => field)), new Set(fields))
    const words = (field: string): readonly string[] =>
      [...(rows.find(([name]) => name === field)?.[2] ?? '').matchAll(/`(\w+)`/g)].map(([, word = '']) => word)
    assert.deepEqual(words('section'), Object.keys(sections))
    assert.deepEqual(words('status'), statuses)
  })

  test('it has every option and exit code', () => {
    for (const option of Object.keys(doctorCommand.options)) assert.match(page, new RegExp(`\`--${option}[\` ]`))
    const [, ...codes] = /The exit code is (\d) .*; (\d) .*; (\d) /.exec(page) ?? []
    assert.deepEqual(new Set(codes.map(Number)), new Set(doctorCommand.exits.map(([code]) => code)))
  })
})
