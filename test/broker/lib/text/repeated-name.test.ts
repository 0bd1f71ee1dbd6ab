import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { repeatedName } from '../../../../src/broker/lib/text/repeated-name.ts'

const rows: readonly (readonly [json: string, repeated: string | undefined])[] = [
  ['{}', undefined],
  ['[]', undefined],
  ['"a"', undefined],
  ['{"a":1,"b":2}', undefined],
  ['{"a":1,"a":1}', 'a'],
  ['{"a":1 , "b":2,\n"a"\t:\r\n3}', 'a'],
  ['{"tenant":"a","\\u0074enant":"b"}', 'tenant'],
  ['{"\\u0074enant":"a","\\u0074enan\\u0074":"b"}', 'tenant'],
  ['{"a\\"":1,"a\\u0022":2}', 'a"'],
  ['{"a\\\\":1,"a":2}', undefined],
  ['{"":1,"":2}', ''],
  ['{"A":1,"a":2}', undefined],
  ['{"__proto__":1,"__proto__":2}', '__proto__'],
  ['{"constructor":1,"toString":2}', undefined],
  ['{"a":{"b":1},"b":{"b":1}}', undefined],
  ['{"a":{"b":1},"c":{"b":1,"b":2}}', 'b'],
  ['{"a":[{"b":1},{"b":1}],"a":0}', 'a'],
  ['{"a":"a","b":"a"}', undefined],
  ['{"a":"\\"a\\":{","b":"}"}', undefined],
  ['["a","a"]', undefined],
  ['{"a":["a","a"],"b":"a"}', undefined],
]
describe('the name that a JSON object has twice', () => {
  for (const [json, repeated] of rows)
    test(json, () => {
      JSON.parse(json)
      assert.equal(repeatedName(json), repeated)
    })
  test('is found in linear time', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `"${i}"`).join(':0,')
    const bad = [`{${names}:0}`, `["${'\\\\'.repeat(50_000)}"]`, `{"a"${' '.repeat(100_000)}:0}`, '{"a":'.repeat(2000)]
    const began = performance.now()
    for (const json of bad) assert.equal(repeatedName(json), undefined)
    assert.ok(performance.now() - began < 2000)
  })
})
