import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { InvalidConfigurationError, type ConfigurationError } from '../../../src/errors.ts'
import { arm, cast, graph, ids, policyOf } from '../../support/callers.ts'
import { cpuMs } from '../../support/clock.ts'

/** A policy as the documentation shows it. */
const sample = `
applications:
  default: ${ids.application}
tenants:
  contoso: ${ids.contoso.toUpperCase()}
  fabrikam: ${ids.fabrikam}
issuers:
  entra:
    issuer: https://login.microsoftonline.com/${ids.home}/v2.0
    audiences: ["${ids.other}"]
  onprem:
    issuer: https://kubernetes.example.internal
    audiences: [token-broker]
    jwksFile: /etc/token-broker/onprem-jwks.json
apiKeys:
  erp: { sha256: ${'3c0f'.repeat(16)}, expires: 2027-01-31 }
deny:
  - callers: [{ issuer: entra, claims: { oid: 5d1f0000-0000-4000-8000-000000000000 } }]
  - tenants: [fabrikam]
rules:
  - name: billing reads the directory of its customers
    callers:
      - { issuer: entra, claims: { roles: Billing.Tokens } }
      - { issuer: onprem, subject: "system:serviceaccount:billing:*" }
      - { san: "spiffe://prod.example/ns/billing/sa/*" }
      - { apiKey: erp }
    tenants: [contoso]
    scopes: ["https://graph.microsoft.com/.default"]
    applications: [default]
    exchangeLimit: 60/m
  - name: dashboards
    callers: [{ issuer: entra, claims: { roles: Broker.Observe } }]
    permissions: [observe]
`

/** The errors of a policy; their places without line and column. */
function errorsOf(text: string): readonly ConfigurationError[] {
  try {
    parsePolicy(text)
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors.map(({ where, what }) => ({ where: where.replace(/ \(line \d+, column \d+\)$/, ''), what }))
  }
  return []
}

describe('a valid policy', () => {
  const policy = parsePolicy(sample)

  test('compiles: ids in lower case, names resolved', () => {
    assert.equal(policy.tenants.get('contoso'), ids.contoso)
    const [rule] = policy.rules
    assert.deepEqual(rule?.tenants, new Set([ids.contoso]))
    assert.equal(rule?.callers.length, 4)
    assert.deepEqual(policy.denials[1]?.tenants, new Set([ids.fabrikam]))
    assert.deepEqual(
      policy.issuers.map(({ name }) => name),
      ['entra', 'onprem'],
    )
  })

  test('warns of nothing', () => assert.deepEqual(policy.warnings, []))

  test('without a rule for an issuer or a key it warns of both: their callers are granted nothing', () => {
    const rules = [{ name: 'a', callers: [{ issuer: 'onprem', subject: 's' }], tenants: '*', scopes: [graph] }]
    const apiKeys = { erp: { sha256: '3c'.repeat(32), expires: '2027-01-31' } }
    assert.deepEqual(
      policyOf({ ...cast, apiKeys, rules }).warnings.map(warning => warning.split(':')[0]),
      ['issuers.entra', 'apiKeys.erp'],
    )
  })

  test('a limit is a count in a number of seconds', () => {
    assert.deepEqual(policy.rules[0]?.exchangeLimit, { count: 60, seconds: 60, rule: policy.rules[0]?.name })
    assert.equal(policy.rules[0]?.requestLimit, undefined)
  })

  test('is frozen', () => {
    const parts = [policy, policy.rules, policy.rules[0], policy.denials, policy.denials[0], policy.issuers[0]]
    for (const part of [...parts, policy.issuers[0]?.audiences, policy.warnings]) assert.ok(Object.isFrozen(part))
  })

  test('has the SHA-256 of its text as version: a comment changes it', () => {
    assert.match(policy.version, /^[0-9a-f]{64}$/)
    assert.equal(parsePolicy(sample).version, policy.version)
    assert.notEqual(parsePolicy(`${sample}#`).version, policy.version)
  })

  test('a rule applies to the application "default" if it lists none', () => {
    const rules = [{ name: 'a', callers: [{ issuer: 'onprem', subject: 's' }], tenants: '*', scopes: [graph, arm] }]
    assert.deepEqual(policyOf({ ...cast, rules }).rules[0]?.applications, new Set(['default']))
  })
})

describe('a text that is not a policy', () => {
  const name = 'a: &a [x,x,x,x,x,x,x,x,x,x]\n'
  const bomb = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].reduce((text, key, index) => {
    const before = String.fromCharCode('a'.charCodeAt(0) + index)
    return `${text}${key}: &${key} [${Array(10).fill(`*${before}`).join(',')}]\n`
  }, name)
  const table: readonly [text: string, where: string, what: RegExp, why: string][] = [
    ['', 'file', /must be a mapping with applications and rules/, 'nothing'],
    ['# only a comment', 'file', /must be a mapping with applications and rules/, 'a comment'],
    ['[]', 'file', /must be a mapping with applications and rules/, 'a list'],
    ['rules: [', 'line 1, column 9', /./, 'broken YAML'],
    [`applications: {}\napplications: {}\n`, 'line 2, column 1', /unique/, 'a key twice'],
    [`rules:\n  - { name: a, name: b }\n`, 'line 2, column 16', /unique/, 'a key twice, further down'],
    ['{ "a": 1, "\\u0061": 1 }', 'line 1, column 11', /unique/, 'a key twice, once escaped'],
    ['{ 1: a, "1": a }', 'line 1, column 9', /unique/, 'a number and its text as keys'],
    ['? [a]\n: b\n', 'line 1, column 3', /plain text/, 'a list as a key'],
    ['a: &a b\n*a : c\n', 'line 2, column 1', /plain text/, 'an alias as a key'],
    ['a: 1\n---\nb: 1\n', 'line 2, column 1', /multiple documents/, 'two documents'],
    ['a: *nowhere', 'file', /alias/i, 'an alias without its anchor'],
    [bomb, 'file', /alias/, 'a billion laughs'],
    ['['.repeat(2000), 'line 1, column \\d+', /./, 'brackets without end'],
    [`${'['.repeat(3000)}${']'.repeat(3000)}`, 'line 1, column \\d+', /./, 'lists in lists, 3,000 deep'],
  ]
  for (const [text, where, what, why] of table) {
    test(`is refused in a second at most: ${why}`, () => {
      const begun = cpuMs()
      const [error] = errorsOf(text)
      assert.match(error?.where ?? '', new RegExp(`^${where}$`))
      assert.match(error?.what ?? '', what)
      assert.ok(cpuMs() - begun < 1000)
    })
  }

  test('a few anchors and aliases are accepted', () => {
    const text = sample
      .replace('callers: [{ issuer: entra, claims: { roles: Broker.Observe } }]', 'callers: *team')
      .replace('    callers:\n      - { issuer: entra', '    callers: &team\n      - { issuer: entra')
    assert.equal(parsePolicy(text).rules[1]?.callers.length, 4)
  })

  for (const [text, why] of [
    ['applications: !env { a: b }', 'an unknown tag'],
    ['%YAML 1.1\n---\napplications: {}', 'an older YAML, in which "yes" is true and merge keys work'],
  ] as const) {
    test(`refused: ${why}`, () => assert.throws(() => parsePolicy(text), /not valid YAML/))
  }

  test('a merge key is refused: it is not YAML 1.2, and would be ignored', () => {
    assert.ok(errorsOf(`${sample}<<: { deny: [] }\n`).some(({ where }) => where === '"<<"'))
  })
})

describe('names of inherited properties', () => {
  test('__proto__ as a key sets no prototype: it is an unknown key', () => {
    const errors = errorsOf(`${sample}__proto__: { apiKeys: {} }\n`)
    assert.deepEqual(errors, [
      {
        where: '__proto__',
        what: 'unknown key; allowed keys: applications, agents, tenants, scopes, issuers, apiKeys, tenantLimit, deny, rules',
      },
    ])
  })

  test('__proto__ does not replace a required key', () => {
    const errors = errorsOf(sample.replace('applications:\n', '__proto__:\n'))
    assert.ok(errors.some(({ where, what }) => where === 'applications' && what === 'is required'))
  })

  for (const name of ['constructor', 'tostring', 'valueof']) {
    test(`"${name}" is neither a tenant, an application nor an issuer unless the policy defines it`, () => {
      const callers = [{ issuer: name, subject: 's' }]
      const rules = [{ name: 'a', callers, tenants: [name], scopes: [graph], applications: [name] }]
      assert.deepEqual(
        errorsOf(JSON.stringify({ ...cast, rules })).map(({ where }) => where),
        ['rules[0].callers[0].issuer', 'rules[0].tenants[0]', 'rules[0].applications[0]'],
      )
    })
  }

  test('a tenant may be named constructor', () => {
    const rules = [
      { name: 'a', callers: [{ issuer: 'onprem', subject: 's' }], tenants: ['constructor'], scopes: [graph] },
    ]
    const policy = policyOf({ ...cast, tenants: { constructor: ids.contoso }, rules })
    assert.deepEqual(policy.rules[0]?.tenants, new Set([ids.contoso]))
  })
})

describe('the whole file is validated at once', () => {
  test('errors of the schema and of meaning, all with line and column', () => {
    const text = sample
      .replace(`contoso: ${ids.contoso.toUpperCase()}`, 'contoso: not-a-guid')
      .replace('audiences: [token-broker]', 'audiences: [api://AzureADTokenExchange]')
      .replace('subject: "system:serviceaccount:billing:*"', 'subject: "*"')
      .replace('{ apiKey: erp }', '{ apiKey: missing }')
      .replace('exchangeLimit: 60/m', 'exchangeLimit: 60/fortnight')
      .replace('tenants: [fabrikam]', 'tenants: [nowhere]')
      .replace('permissions: [observe]', 'permisions: [observe]')
    const places = errorsOf(text).map(({ where }) => where)
    assert.deepEqual(places.toSorted(), [
      'deny[1].tenants[0]',
      'issuers.onprem.audiences[0]',
      'rules[0].callers[1].subject',
      'rules[0].callers[3].apiKey',
      'rules[0].exchangeLimit',
      'rules[1]',
      'rules[1].permisions',
      'tenants.contoso',
    ])
    assert.throws(() => parsePolicy(text), /tenants\.contoso \(line 5, column 12\): must be a GUID/)
    assert.throws(() => parsePolicy(text), /rules\[0\]\.callers\[1\]\.subject \(line 24, column 36\)/)
  })

  test('more errors than the number at which the validator stops by default', () => {
    const rules = Array.from({ length: 200 }, (_, index) => ({ name: `rule ${index}`, callers: [] }))
    const errors = errorsOf(JSON.stringify({ ...cast, rules }))
    const places = new Set(errors.map(({ where }) => where))
    for (const [index] of rules.entries()) {
      assert.ok(places.has(`rules[${index}].callers`), `rules[${index}] is not reported`)
    }
  })

  test('a policy of 2,000 tenants and rules loads within five seconds', () => {
    const tenants = Object.fromEntries(
      Array.from({ length: 2000 }, (_, index) => [`tenant-${index}`, ids.home.slice(0, -4) + String(1000 + index)]),
    )
    const rules = Object.keys(tenants).map(tenant => ({
      name: tenant,
      callers: [{ issuer: 'onprem', subject: tenant }],
      tenants: [tenant],
      scopes: [graph],
    }))
    const begun = cpuMs()
    assert.equal(policyOf({ ...cast, tenants, rules }).rules.length, 2000)
    assert.ok(cpuMs() - begun < 5000)
  })
})
