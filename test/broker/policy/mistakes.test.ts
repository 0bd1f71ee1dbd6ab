import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/parse.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../../../src/errors.ts'

function faultsOf(text: string): readonly ConfigurationError[] {
  try {
    parsePolicy(text)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors
  }
}

const inFile = 'applications, tenants, issuers, apiKeys, deny, rules'
const inRule = 'name, callers, tenants, scopes, applications, exchangeLimit, requestLimit, permissions'

describe('a typical mistake is told where it stands, with what to write instead', () => {
  const table: readonly [mistake: string, text: string, where: string, what: string | RegExp][] = [
    ['nothing in the file', '', 'file', 'must be a mapping with applications and rules'],
    [
      'a misspelt key of the file',
      '# mine\naplications: { default: x }\n',
      'aplications (line 2, column 1)',
      `unknown key: there is ${inFile}`,
    ],
    [
      'a misspelt key of a rule',
      'rules:\n  - name: a\n    scope: [b]\n',
      'rules[0].scope (line 3, column 5)',
      `unknown key: there is ${inRule}`,
    ],
    [
      'a misspelt key in braces',
      'rules: [{ name: a, callers: [{ sub: b }] }]\n',
      'rules[0].callers[0].sub (line 1, column 32)',
      'unknown key: there is issuer, subject, claims, san, apiKey',
    ],
    [
      'no application',
      'applications: {}\n',
      'applications (line 1, column 15)',
      'must not be empty: expected names and client ids, at least one',
    ],
    [
      'the word "*" without quotes',
      'tenants: *\n',
      'line 1, column 10',
      /: a text that begins with "\*" needs quotes$/,
    ],
    ['a tab', 'tenants:\n\ta: b\n', 'line 2, column 1', /^Tabs are not allowed as indentation/],
  ]
  for (const [mistake, text, where, what] of table) {
    test(mistake, () => {
      const fault = faultsOf(text).find(each => each.where === where)
      if (typeof what === 'string') assert.equal(fault?.what, what, JSON.stringify(faultsOf(text)))
      else assert.match(fault?.what ?? '', what, JSON.stringify(faultsOf(text)))
    })
  }
})
