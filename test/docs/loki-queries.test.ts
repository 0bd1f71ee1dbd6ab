import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parser } from '@grafana/lezer-logql'
import { read } from '../support/sources.ts'
import { blocksOf } from './tables.ts'

/** The LogQL queries of docs/audit.md, parsed with Grafana's grammar of LogQL. No log is queried. */

/** Where a query is not LogQL, as positions in its text. */
function errorsIn(query: string): readonly string[] {
  const errors: string[] = []
  parser.parse(query).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) errors.push(`${from} to ${to}`)
    },
  })
  return errors
}

const queries = blocksOf(read('docs/audit.md'), 'logql')
  .join('\n')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))

describe('the Loki queries of docs/audit.md are LogQL', () => {
  test('the page has them', () => assert.ok(queries.length >= 4))

  for (const query of queries) test(query.slice(0, 100), () => assert.deepEqual(errorsIn(query), []))
})

describe('what is not LogQL is found', () => {
  for (const [what, query] of [
    ['no stream selector', '| json event="event"'],
    ['a stream selector that does not end', '{app="token-broker"'],
    ['a parser that does not exist', '{app="token-broker"} | jsn event="event"'],
    ['a field without quotes', '{app="token-broker"} | json event=event'],
    ['a comparison of another language', '{app="token-broker"} | json | event=="token.failed"'],
    ['a function that does not exist', 'count_over_tim({app="token-broker"}[1h])'],
    ['a range in a query of lines', '{app="token-broker"} | json [1h]'],
    ['no range in a query of numbers', 'count_over_time({app="token-broker"} | json)'],
    ['a parenthesis that does not end', 'sum by (tenant (count_over_time({app="token-broker"}[1h]))'],
  ] as const)
    test(what, () => assert.notDeepEqual(errorsIn(query), []))
})
