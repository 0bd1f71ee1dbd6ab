import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { subjectAltNamesOf } from '../../../src/broker/authentication/certificates/names.ts'

describe('names as Node writes them', () => {
  const table: readonly [text: string | undefined, expected: readonly [string[], string[]] | undefined, why: string][] =
    [
      [undefined, [[], []], 'no names'],
      ['URI:spiffe://a/b', [['spiffe://a/b'], []], 'a URI'],
      ['DNS:A.example, URI:https://x/, DNS:b', [['https://x/'], ['a.example', 'b']], 'several'],
      ['IP Address:10.0.0.1, email:a@b', [[], []], 'other kinds'],
      ['DNS:"a\\u002c DNS:b"', [[], ['a, dns:b']], 'a name that contains a separator (CVE-2021-44532)'],
      ['URI:"spiffe://a/\\"b"', [['spiffe://a/"b'], []], 'a quote'],
      ['DNS:', [[], []], 'an empty name is none'],
      ['DNS:a.example URI:x', [[], ['a.example uri:x']], 'no comma: one name'],
      ['DNS:a"b', undefined, 'a quote inside a name'],
      ['nonsense', undefined, 'no kind'],
      ['DNS:a,URI:b', undefined, 'a comma without its space'],
      ['DNS:"a', undefined, 'a text that does not end'],
    ]
  for (const [subjectAltName, expected, why] of table) {
    test(`${why}: ${String(subjectAltName)}`, () => {
      const names = subjectAltNamesOf({ subjectAltName })
      assert.deepEqual(names && [names.uris, names.dnsNames], expected)
    })
  }
})
