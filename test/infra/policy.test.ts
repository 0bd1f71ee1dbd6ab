import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { policyWarnings } from '../../src/broker/policy/file/warnings.ts'
import { parseCases, runCases } from '../../src/commands/policy-cases.ts'
import { read } from '../support/sources.ts'

const file = 'infra/policy-cases.yaml'
const policy = parsePolicy(read('infra/policy.yaml'))

for (const name of ['policy.yaml', 'full-policy.yaml'])
  test(`${name} is valid without a warning`, () => {
    const parsed = parsePolicy(read(`infra/${name}`))
    assert.deepEqual([...parsed.warnings, ...policyWarnings(parsed, { now: 0, certificates: true })], [])
  })

test('it decides what policy-cases.yaml says', () => {
  const outcomes = runCases(policy, parseCases(file, read(file)), 0)
  assert.ok(outcomes.length >= 5)
  assert.deepEqual(
    outcomes.filter(({ wrong }) => wrong !== undefined),
    [],
  )
})

test('the deployment replaces exactly the placeholders that the policy has and explains', () => {
  const [source, text] = [read('infra/main.bicep'), read('infra/policy.yaml')]
  const replaced = [...source.matchAll(/^ {2}(?:application|api|homeTenant): '(0{8}-[0-9a-f-]{27})'$/gm)].map(
    ([, id = '']) => id,
  )
  const used = new Set(text.match(/0{8}-0000-0000-0000-0{11}[a-f]/g))
  assert.equal(replaced.length, 3)
  assert.deepEqual(used, new Set(replaced))
  for (const id of replaced) {
    assert.match(text, new RegExp(`^# {3}${id} {2}`, 'm'))
    assert.match(text, new RegExp(`^[^#].*${id}`, 'm'))
  }
})

test('the rule of infra/README.md for people is valid, and its placeholder is replaced if they sign in', () => {
  const [, rule = ''] = /```yaml\n(- name: people who observe\n[\s\S]*?)```/.exec(read('infra/README.md')) ?? []
  const { rules, warnings } = parsePolicy(`${read('infra/policy.yaml')}${rule.replaceAll(/^/gm, '  ').trimEnd()}\n`)
  assert.deepEqual([rules.at(-1)?.name, warnings], ['people who observe', []])
  const [id = ''] = rule.match(/0{8}-[0-9a-f-]{27}/) ?? []
  const source = read('infra/main.bicep')
  assert.ok(source.includes(`dashboard: '${id}'`))
  assert.match(
    source,
    /signsIn\s+\? replace\(policyWithTenant, placeholders\.dashboard, entra!\.outputs\.dashboardClientId\)/,
  )
})
