import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { filesBelow, read } from '../support/sources.ts'
import { blocksOf } from './tables.ts'

/** The Kusto queries of the pages and of the alerts on Azure, parsed and analysed by the language service of Azure Data Explorer. No data is queried. */

interface Diagnostics {
  readonly Count: number
  readonly getItem: (index: number) => { readonly Message: string }
}
interface LanguageService {
  readonly KustoCode: { readonly ParseAndAnalyze: (text: string) => { readonly GetDiagnostics: () => Diagnostics } }
}

/** The package consists of scripts for browsers, which set global variables. */
function loadLanguageService(): LanguageService {
  const load = createRequire(import.meta.url)
  load('@kusto/language-service-next/bridge.min.js')
  load('@kusto/language-service-next/Kusto.Language.Bridge.min.js')
  const { Kusto } = globalThis as typeof globalThis & { readonly Kusto: { readonly Language: LanguageService } }
  return Kusto.Language
}
const { KustoCode } = loadLanguageService()

/** What is wrong with a query: its syntax, or a name or a type that does not exist. */
function problemsOf(query: string): readonly string[] {
  const diagnostics = KustoCode.ParseAndAnalyze(query).GetDiagnostics()
  return Array.from({ length: diagnostics.Count }, (_, index) => diagnostics.getItem(index).Message)
}

/** The tables of Log Analytics that the queries read, with the columns they use. */
const table =
  'let ContainerAppConsoleLogs_CL = ' +
  'datatable(TimeGenerated: datetime, _timestamp_d: real, ContainerGroupName_s: string, Log_s: string)[];\n'
const blocks = blocksOf(read('docs/audit.md'), 'kusto')
const [audit = '', ...others] = blocks
const withAudit = `${table}let BrokerAudit = ${audit.trim()};\n`

const firstLine = (query: string): string => query.split('\n', 1)[0] ?? ''

describe('the Kusto queries of docs/audit.md are valid', () => {
  test('the page has them', () => assert.ok(others.length >= 4))

  test(firstLine(audit), () => assert.deepEqual(problemsOf(table + audit), []))

  for (const query of others) test(firstLine(query), () => assert.deepEqual(problemsOf(withAudit + query), []))

  for (const [what, query] of [
    ['an operator that does not exist', 'BrokerAudit | wher event == "x"'],
    ['a column that the function does not have', 'BrokerAudit | where events == "x"'],
    ['a function that does not exist', 'BrokerAudit | summarize counts() by caller'],
    ['a comparison of two types', 'BrokerAudit | where TimeGenerated > "x" + 1'],
  ] as const)
    test(`${what} is found`, () => assert.notDeepEqual(problemsOf(withAudit + query), []))
})

describe('the Kusto queries of infra/modules/alerts.bicep are valid', () => {
  const bicep = read('infra/modules/alerts.bicep')
  const texts = [...bicep.matchAll(/(?:query: |var lines = )'((?:[^'\\\n]|\\.)*)'/g)].map(([, text = '']) =>
    text.replaceAll(String.raw`\n`, '\n').replaceAll(String.raw`\'`, "'"),
  )
  const [lines = '', ...queries] = texts
  const logs =
    'let ContainerAppConsoleLogs = datatable(TimeGenerated: datetime, ContainerAppName: string, Log: string)[];\n'
  test('the file has them', () => {
    assert.ok(lines.startsWith('ContainerAppConsoleLogs\n'))
    assert.ok(queries.length >= 5 && queries.every(query => query.startsWith('${lines}')))
  })
  for (const query of queries)
    test(query.replace('${lines}', '').slice(0, 80), () => {
      const whole = query.replace('${lines}', () => lines).replace('${appName}', 'token-broker')
      assert.deepEqual(problemsOf(logs + whole), [])
    })
})

describe('the Kusto queries of the other pages are valid', () => {
  const pages = filesBelow('docs').filter(page => page.endsWith('.md') && page !== 'docs/audit.md')
  for (const page of pages)
    for (const query of blocksOf(read(page), 'kusto'))
      test(`${page}: ${query.slice(0, 60)}`, () => assert.deepEqual(problemsOf(withAudit + query), []))
})
