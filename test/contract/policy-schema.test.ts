import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { Compile } from 'typebox/compile'
import { policySchema } from '../../src/broker/policy/file/schema.ts'
import { read } from '../support/sources.ts'

const shipped: unknown = JSON.parse(read('policy.schema.json'))

describe('policy.schema.json', () => {
  test('is up to date: run "node scripts/policy-schema.ts" after a change', () => {
    assert.deepEqual(shipped, JSON.parse(JSON.stringify(policySchema)))
  })

  test('is complete, without references to other files', () => {
    assert.doesNotMatch(JSON.stringify(shipped), /"\$ref"|"\$dynamicRef"/)
    assert.match(String((shipped as { $schema: unknown }).$schema), /2020-12/)
  })

  test("accepts the README's policy, and refuses one with a misspelt key", () => {
    const sample =
      /```yaml\n(# yaml-language-server[^\n]*\napplications:[\s\S]+?)```/.exec(read('README.md'))?.[1] ?? ''
    const schema = Compile(shipped as typeof policySchema)
    const policy = parse(sample) as { rules: object[] }
    assert.ok(schema.Check(policy))
    assert.ok(!schema.Check({ ...policy, rules: [...policy.rules, { name: 'x', caller: [] }] }))
  })

  test("is named in the README's policy, in a comment that editors understand", () => {
    assert.match(read('README.md'), /^# yaml-language-server: \$schema=\.\/policy\.schema\.json$/m)
  })
})
