import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../../../src/errors.ts'

function errorsOf(text: string): readonly ConfigurationError[] {
  try {
    parsePolicy(text)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors
  }
}

const inFile = 'applications, agents, tenants, scopes, issuers, apiKeys, tenantLimit, deny, rules'
const inRule = 'name, callers, tenants, scopes, applications, agents, exchangeLimit, requestLimit, permissions'

describe('a typical mistake is reported with its place, and with what to write instead', () => {
  const table: readonly [mistake: string, text: string, where: string, what: string | RegExp][] = [
    ['nothing in the file', '', 'file', 'must be a mapping with applications and rules'],
    [
      'a misspelt key of the file',
      '# mine\naplications: { default: x }\n',
      'aplications (line 2, column 1)',
      `unknown key; allowed keys: ${inFile}`,
    ],
    [
      'a misspelt key of a rule',
      'rules:\n  - name: a\n    scope: [b]\n',
      'rules[0].scope (line 3, column 5)',
      `unknown key; allowed keys: ${inRule}`,
    ],
    [
      'a misspelt key in braces',
      'rules: [{ name: a, callers: [{ sub: b }] }]\n',
      'rules[0].callers[0].sub (line 1, column 32)',
      'unknown key; allowed keys: issuer, subject, claims, delegated, san, apiKey',
    ],
    [
      'no application',
      'applications: {}\n',
      'applications (line 1, column 15)',
      'must not be empty: expected a mapping of names to client ids, with at least one',
    ],
    [
      'the word "*" without quotes',
      'tenants: *\n',
      'line 1, column 10',
      /: a text that begins with "\*" needs quotes$/,
    ],
    [
      'a misspelt tenant',
      'tenants: { contoso: x }\nrules: [{ name: a, tenants: [contosso] }]\n',
      'rules[0].tenants[0] (line 2, column 30)',
      'unknown tenant "contosso": not a GUID and not defined under tenants (did you mean contoso?)',
    ],
    [
      'a tenant that is not defined',
      'tenants: { contoso: x }\nrules: [{ name: a, tenants: [fabrikam] }]\n',
      'rules[0].tenants[0] (line 2, column 30)',
      'unknown tenant "fabrikam": not a GUID and not defined under tenants',
    ],
    [
      'a tenant whose name is too short for a suggestion',
      'tenants: { prod: x }\nrules: [{ name: a, tenants: [prd] }]\n',
      'rules[0].tenants[0] (line 2, column 30)',
      'unknown tenant "prd": not a GUID and not defined under tenants',
    ],
    [
      'a tenant two edits from a name that is too short for two',
      'tenants: { contoso: x }\nrules: [{ name: a, tenants: [contosoxx] }]\n',
      'rules[0].tenants[0] (line 2, column 30)',
      'unknown tenant "contosoxx": not a GUID and not defined under tenants',
    ],
    [
      'a misspelt issuer',
      'issuers: { onprem: { issuer: https://a.example, audiences: [b] } }\nrules: [{ callers: [{ issuer: onprm, subject: s }] }]\n',
      'rules[0].callers[0].issuer (line 2, column 31)',
      'unknown issuer "onprm": not defined under issuers (did you mean onprem?)',
    ],
    [
      'a misspelt key',
      'apiKeys: { billing: x }\nrules: [{ callers: [{ apiKey: biling }] }]\n',
      'rules[0].callers[0].apiKey (line 2, column 31)',
      'unknown API key "biling": not defined under apiKeys (did you mean billing?)',
    ],
    [
      'a misspelt application',
      'applications: { reporting: x }\nrules: [{ name: a, applications: [reportings] }]\n',
      'rules[0].applications[0] (line 2, column 35)',
      'unknown application "reportings": not defined under applications (did you mean reporting?)',
    ],
    [
      'the word "*" in a list of tenants',
      'rules: [{ name: a, tenants: ["*"] }]\n',
      'rules[0].tenants[0] (line 1, column 30)',
      'must not be "*" in a list: for every tenant, write tenants: "*"',
    ],
    [
      'the word "*" in a denial',
      'deny: [{ tenants: ["*"] }]\n',
      'deny[0].tenants[0] (line 1, column 20)',
      'must not be "*": a denial without tenants applies to every tenant',
    ],
    ['a tab', 'tenants:\n\ta: b\n', 'line 2, column 1', /^Tabs are not allowed as indentation/],
  ]
  for (const [mistake, text, where, what] of table) {
    test(mistake, () => {
      const error = errorsOf(text).find(each => each.where === where)
      if (typeof what === 'string') assert.equal(error?.what, what, JSON.stringify(errorsOf(text)))
      else assert.match(error?.what ?? '', what, JSON.stringify(errorsOf(text)))
    })
  }
})

test('with many unknown names the first ten get a suggestion, so that a large file is still refused quickly', () => {
  const names = Array.from({ length: 2000 }, (_, index) => `tenant-${index}`)
  const tenants = `{ ${names.map(name => `${name}: x`).join(', ')} }`
  const text = `tenants: ${tenants}\nrules: [{ name: a, tenants: [${names.map(name => `${name}x`).join(', ')}] }]\n`
  const unknown = errorsOf(text).filter(({ what }) => what.startsWith('unknown tenant'))
  assert.equal(unknown.length, names.length)
  assert.equal(unknown.filter(({ what }) => what.includes('did you mean')).length, 10)
})

test('a very long name is an error of the policy, and no stack overflow', () => {
  const name = 'a'.repeat(20_000)
  const text = `tenants: { ${name}b: x }\nrules: [{ name: a, tenants: [${name}c] }]\n`
  assert.ok(errorsOf(text).some(({ where }) => where.startsWith('rules[0].tenants')))
})
