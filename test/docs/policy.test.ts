import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { isObject } from '../../src/broker/lib/json-members.ts'
import { decide } from '../../src/broker/policy/decide.ts'
import { describeClaims, describeNames } from '../../src/broker/authentication/describe-caller.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { policySchema } from '../../src/broker/policy/file/schema.ts'
import { runCommand, type Command } from '../../src/commands/command.ts'
import { policyCheckCommand } from '../../src/commands/policy-check.ts'
import { policyExplainCommand } from '../../src/commands/policy-explain.ts'
import { policyTestCommand } from '../../src/commands/policy-test.ts'
import { ExitError } from '../../src/exit.ts'
import { auditEvents } from '../../src/telemetry/audit-fields.ts'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { goodClaims, graph, ids, onprem } from '../support/callers.ts'
import { blocksOf, rowsOf, sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const page = read('docs/policy.md')
const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))

/** The files on the page by their names, which a comment in the first line gives. The policy has the editors' line there. */
const files = new Map(
  blocksOf(page, 'yaml').map(block => [/^# ([a-z]+\.yaml)\n/.exec(block)?.[1] ?? 'policy.yaml', block]),
)
for (const [name, content] of files) await writeFile(join(folder, name), content)

const commands: readonly Command[] = [policyCheckCommand, policyExplainCommand, policyTestCommand]

/** Runs a command line of the page in the folder of its files. Returns the output of both streams, and the exit code. */
async function run(line: string): Promise<{ readonly written: string; readonly code: number }> {
  const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  const command = commands.find(({ name }) => line.startsWith(`token-broker ${name} `))
  assert.ok(command, `this test cannot run ${line}`)
  const args = words
    .slice(1 + command.name.split(' ').length)
    .map(word => (files.has(word) ? join(folder, word) : word))
  let written = ''
  const out = (text: string) => void (written += text)
  const code = await runCommand(command, args, {
    environment: {},
    out,
    now: Date.now,
    handOverSignals: () => undefined,
  }).catch((thrown: unknown) => {
    assert.ok(thrown instanceof ExitError, String(thrown))
    out(`token-broker: ${thrown.message}\n`)
    return thrown.exitCode
  })
  return { written: written.replaceAll(`${folder}/`, ''), code }
}

/** A pattern in which `…` matches anything within a line. */
const withGaps = (text: string): RegExp =>
  new RegExp(
    `^${text
      .split('…')
      .map(part => RegExp.escape(part))
      .join('[^\\n]*')}$`,
  )

/** Each command of the page with its output. */
const shown = blocksOf(page, 'console').flatMap(block =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map(text => [text.slice(0, text.indexOf('\n')), text.slice(text.indexOf('\n') + 1)] as const),
)

describe('docs/policy.md: the commands', () => {
  for (const [line, printed] of shown)
    test(`$ ${line}`, async () => {
      const { written } = await run(line)
      assert.match(written, withGaps(printed), written)
    })

  test('every command is shown, and the exit codes are those that the page names', async () => {
    const codes = new Map<string, Set<number>>()
    for (const [line] of shown) {
      const name = commands.find(each => line.includes(each.name))?.name ?? line
      codes.set(name, (codes.get(name) ?? new Set()).add((await run(line)).code))
    }
    assert.deepEqual(Object.fromEntries(codes), {
      'policy check': new Set([3, 0]),
      'policy explain': new Set([0, 5]),
      'policy test': new Set([0]),
    })
  })
})

describe('docs/policy.md: the files', () => {
  test('are these three', () => assert.deepEqual([...files.keys()], ['policy.yaml', 'draft.yaml', 'cases.yaml']))

  test('the complete policy causes no warning', () => {
    assert.deepEqual(parsePolicy(files.get('policy.yaml') ?? '').warnings, [])
  })

  test('the complete policy shows every key except six', () => {
    const text = files.get('policy.yaml') ?? ''
    const absent = [...keysIn(policySchema)].filter(key => !new RegExp(`\\b${key}:`).test(text))
    assert.deepEqual(absent.toSorted(), ['caFile', 'delegated', 'jwksTokenFile', 'jwksUri', 'next', 'requestLimit'])
  })
})

/** The keys that a schema knows, at any depth. */
function keysIn(schema: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(schema)) for (const each of schema) keysIn(each, found)
  if (!isObject(schema) || Array.isArray(schema)) return found
  for (const [name, each] of Object.entries(schema)) {
    if (name === 'properties' && isObject(each)) for (const key of Object.keys(each)) found.add(key)
    keysIn(each, found)
  }
  return found
}

describe('docs/policy.md: the tables', () => {
  const fields = sectionOf(page, '## Fields')

  test('name every key of the schema, and no other', () => {
    const keys = keysIn(policySchema)
    const cells = [...fields.matchAll(/^(?:\| |\*\*)((?:`[^`]+`(?:, )?)+)/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/\w+/g)].map(([word]) => word),
    )
    assert.deepEqual(new Set(cells), keys)
  })

  test('say of each of them whether it is required', () => {
    const { required } = policySchema
    const topLevel = [...fields.matchAll(/^\*\*`(\w+)`\*\* \(required\)/gm)].map(([, name]) => name)
    assert.deepEqual(topLevel, required)
    const rule = policySchema.properties.rules.items
    const inTable = rowsOf(fields)
      .filter(([name = '', second]) => name in rule.properties && second === 'required')
      .map(([name]) => name)
    assert.deepEqual(inTable, rule.required)
  })
})

describe('docs/policy.md: the patterns', () => {
  const matches = (pattern: string, name: string): boolean => {
    const isSan = pattern.startsWith('spiffe:') || pattern.startsWith('*.')
    const callers = [isSan ? { san: pattern } : { issuer: 'onprem', subject: pattern }]
    const policy = parsePolicy(
      JSON.stringify({
        applications: { default: ids.application },
        issuers: { onprem: { issuer: onprem, audiences: ['token-broker'] } },
        rules: [{ name: 'a', callers, tenants: '*', scopes: [graph] }],
      }),
    )
    const { facts } = isSan ? describeNames([name]) : describeClaims(policy, goodClaims({ sub: name }), 0)
    const request = { tenant: ids.contoso, scope: graph, application: 'default', minExpiresIn: 0 }
    return decide(policy, facts, request, ids.home).verdict === 'granted'
  }
  const rows = rowsOf(sectionOf(page, '## Patterns'))
  const namesIn = (cell = ''): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '')

  test('the test reads all four', () => assert.equal(rows.length, 4))
  for (const [pattern = '', yes, no] of rows)
    test(pattern, () => {
      assert.ok(namesIn(yes).length > 0 && namesIn(no).length > 0)
      for (const name of namesIn(yes)) assert.ok(matches(pattern, name), name)
      for (const name of namesIn(no)) assert.ok(!matches(pattern, name), name)
    })
})

test('docs/policy.md: the metrics and events that it names exist', () => {
  const metrics: readonly string[] = Object.keys(metricTable)
  for (const [name] of page.matchAll(/\btoken_broker_\w+/g)) assert.ok(metrics.includes(name), name)
  const known: readonly string[] = auditEvents
  for (const [, event = ''] of page.matchAll(/`(policy\.(?!schema|yaml)\w+)`/g)) assert.ok(known.includes(event), event)
})
