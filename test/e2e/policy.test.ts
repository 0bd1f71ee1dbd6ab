import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { arm, cast, goodClaims, graph, ids, makeKey, mint } from '../support/callers.ts'
import { policyCheckCommand } from '../../src/commands/policy-check.ts'
import { policyExplainCommand } from '../../src/commands/policy-explain.ts'
import { policyTestCommand } from '../../src/commands/policy-test.ts'
import { ended, endedHere } from './process.ts'

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))

async function file(name: string, content: unknown): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const worker = { issuer: 'onprem', subject: 'system:serviceaccount:billing:*' }
const good = {
  ...cast,
  apiKeys: {
    erp: { sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', expires: '2999-01-31' },
    old: { sha256: 'c2'.repeat(32), expires: '2020-01-31' },
  },
  deny: [{ tenants: ['fabrikam'] }],
  rules: [
    { name: 'billing', callers: [worker, { apiKey: 'erp' }], tenants: ['contoso'], scopes: [graph] },
    { name: 'mesh', callers: [{ san: 'spiffe://prod.example/*' }], tenants: '*', scopes: [graph] },
    { name: 'look', callers: [{ issuer: 'onprem', claims: { role: 'ops' } }], permissions: ['observe'] },
  ],
}
const policy = await file('policy.yaml', good)
const claims = (changes = {}) => JSON.stringify(goodClaims(changes, Date.now()))
const token = await file('token', `${mint(makeKey(), goodClaims({}, Date.now()))}\n`)
const expired = await file('expired', mint(makeKey(), goodClaims({}, 0)))
const key = await file('key', 'abc\n')
const contoso = ['--tenant', 'contoso', '--scope', graph]

describe('policy check', () => {
  test('a valid file is reported with its counts, its SHA-256 and its warnings', async t => {
    const { code, stdout } = await ended(t, ['policy', 'check', policy])
    assert.equal(code, 0)
    assert.match(stdout, /is valid \(rules: 3, denials: 1, issuers: 2, API keys: 2\)\nSHA-256 [0-9a-f]{64}\n$/)
    assert.match(stdout, /^warning: API key "old" has expired/m)
  })

  test('all errors of an invalid file are reported with line and column, and exit code 3', async t => {
    const invalid = await file(
      'invalid.yaml',
      'applications: { default: x }\nrules: [{ name: a, callers: [], b: 1 }]\n',
    )
    const { code, stdout, stderr } = await ended(t, ['policy', 'check', invalid])
    assert.deepEqual([code, stdout], [3, ''])
    for (const where of [
      'applications.default (line 1, column 26)',
      'rules[0].callers (line 2',
      'rules[0].b (line 2',
    ]) {
      assert.ok(stderr.includes(where), stderr)
    }
  })

  test('a missing file is reported by its path', async () => {
    const { code, stderr } = await endedHere(policyCheckCommand, ['/nowhere/policy.yaml'])
    assert.equal(code, 3)
    assert.match(stderr, /\/nowhere\/policy\.yaml/)
    assert.doesNotMatch(stderr, /\n\s+at |BROKER_POLICY_FILE/)
  })
})

describe('policy explain', () => {
  const table: readonly [args: readonly string[], code: number, says: RegExp, why: string][] = [
    [['--token', token, ...contoso], 0, /^granted by the rule "billing"\n\n {2}billing {2}grants it\n/, 'a JWT'],
    [['--token', key, ...contoso], 0, /^granted by the rule "billing"/, 'an API key'],
    [['--claims', claims(), ...contoso], 0, /^granted by the rule "billing"/, 'claims'],
    [['--api-key', 'erp', '--tenant', ids.contoso.toUpperCase(), '--scope', graph], 0, /"billing"/, 'a tenant by id'],
    [['--san', 'spiffe://prod.example/a', ...contoso], 0, /granted by the rule "mesh"/, 'a certificate'],
    [['--claims', claims({ role: 'ops' }), '--permission', 'observe'], 0, /"look"/, 'a permission'],
    [['--claims', claims(), '--permission', 'purge'], 5, /look +permissions: "purge" is not listed/, 'none'],
    [['--token', expired, ...contoso], 5, /would not be authenticated: The token has expired/, 'a token of 1970'],
    [
      ['--claims', claims({ aud: undefined, exp: undefined }), ...contoso],
      0,
      /^granted by/,
      'claims without aud and exp',
    ],
    [['--claims', claims({ exp: 1 }), ...contoso], 5, /The token has expired/, 'claims with an exp of 1970'],
    [['--claims', claims({ aud: 'x' }), ...contoso], 5, /another audience[\s\S]*granted/, 'another audience'],
    [['--api-key', 'old', ...contoso], 5, /The API key has expired/, 'an expired key'],
    [['--claims', claims({ iss: 'x' }), ...contoso], 5, /^$/, 'an issuer that is not listed'],
    [['--claims', claims({ iss: undefined }), ...contoso], 5, /^$/, 'claims without an issuer'],
    [['--claims', claims({ sub: 'x' }), ...contoso], 5, /the subject is "x", not "system:/, 'another subject'],
    [['--claims', claims(), '--tenant', 'contoso', '--scope', arm], 5, /scopes: ".*" is not listed/, 'another scope'],
    [['--claims', claims(), '--tenant', 'fabrikam', '--scope', graph], 5, /denied: deny\[0\] matches it/, 'a denial'],
    [
      ['--claims', claims(), '--tenant', 'nowhere', '--scope', graph],
      5,
      /unknown tenant "nowhere": not a GUID and not defined under tenants/,
      'nowhere',
    ],
    [
      ['--claims', claims(), ...contoso, '--application', 'x'],
      5,
      /unknown application "x": not defined under applications/,
      'no application',
    ],
    [
      ['--san', 'spiffe://prod.example/a', ...contoso, '--home-tenant', ids.contoso],
      5,
      /mesh +tenants: "\*" does not include the home tenant/,
      'the home tenant',
    ],
  ]
  // One process per exit code shows what the command line makes of a decision.
  const first = new Set([0, 5].map(wanted => table.findIndex(([, code]) => code === wanted)))
  for (const [nth, [args, code, says, why]] of table.entries()) {
    test(`${code}: ${why}`, async t => {
      const result = first.has(nth)
        ? await ended(t, ['policy', 'explain', policy, ...args])
        : await endedHere(policyExplainCommand, [policy, ...args])
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stdout, says)
    })
  }

  const misuse: readonly (readonly [args: readonly string[], hint: RegExp])[] = [
    [contoso, /exactly one of --token, --claims, --api-key, --san/],
    [['--api-key', 'erp', '--san', 'a', ...contoso], /exactly one of/],
    [['--api-key', 'erp'], /--tenant and --scope, or --permission/],
    [['--api-key', 'erp', '--permission', 'observe', ...contoso], /cannot be combined/],
    [['--api-key', 'erp', '--permission', 'write'], /observe or purge/],
    [['--claims', '{', ...contoso], /must be JSON/],
    [['--claims', '[]', ...contoso], /must be a JSON object/],
    [['--verbose'], /^token-broker: Unknown option '--verbose'\nTry: /],
    [['--api-key', 'erp', '--tenant', 'common', '--scope', graph], /--tenant must be an id or a name; got "common"/],
    [
      ['--api-key', 'erp', '--tenant', 'contoso', '--scope', 'Graph'],
      /--scope must be <resource>\/\.default, or a name; got "Graph"/,
    ],
  ]
  for (const [nth, [args, hint]] of misuse.entries()) {
    test(`exit code 2: ${args.join(' ')}`, async t => {
      const { code, stderr } =
        nth === 0
          ? await ended(t, ['policy', 'explain', policy, ...args])
          : await endedHere(policyExplainCommand, [policy, ...args])
      assert.equal(code, 2)
      assert.match(stderr, hint)
    })
  }
})

describe('policy test', () => {
  const request = { tenant: 'contoso', scope: graph }
  const billing = { issuer: 'onprem', subject: 'system:serviceaccount:billing:a' }
  const passing = [
    { name: 'billing may', caller: billing, ...request, expect: 'granted', rule: 'billing' },
    { caller: { apiKey: 'erp' }, ...request, expect: 'granted' },
    { caller: { san: ['spiffe://prod.example/a', 'a.example'] }, ...request, tenant: ids.other, expect: 'granted' },
    { caller: { san: 'spiffe://prod.example/a' }, ...request, tenant: ids.home, expect: 'denied' },
    { caller: { ...billing, claims: { role: 'ops' } }, permission: 'observe', expect: 'granted', rule: 'look' },
    { caller: { apiKey: 'erp' }, permission: 'purge', expect: 'denied' },
    { caller: billing, ...request, tenant: 'fabrikam', expect: 'denied' },
  ]

  test('cases that pass are listed one by one, with exit code 0', async t => {
    const cases = await file('cases.yaml', { homeTenant: ids.home.toUpperCase(), cases: passing })
    const { code, stdout } = await ended(t, ['policy', 'test', policy, cases])
    assert.equal(code, 0, stdout)
    assert.match(stdout, /^ok {4}billing may\nok {4}case 2\n[\s\S]*7 cases, 0 failed\n$/)
  })

  test('cases that fail are listed with the actual decision, and exit code 5', async t => {
    const cases = await file('failing.yaml', {
      cases: [
        passing[0],
        { caller: billing, ...request, expect: 'denied' },
        { caller: billing, ...request, expect: 'granted', rule: 'mesh' },
        { caller: billing, ...request, expect: 'granted', rule: 'nothing' },
        { caller: { issuer: 'missing', subject: 'x' }, ...request, expect: 'denied' },
        { caller: { apiKey: 'missing' }, ...request, expect: 'denied' },
      ],
    })
    const { code, stdout } = await ended(t, ['policy', 'test', policy, cases])
    assert.equal(code, 5)
    const lines = [
      /^FAIL {2}case 2: expected denied, but it is granted by the rule "billing"$/m,
      /^FAIL {2}case 3: expected the rule "mesh", but it is granted by the rule "billing"$/m,
      /^FAIL {2}case 4: the policy has no rule "nothing"$/m,
      /^FAIL {2}case 5: the policy has no issuer "missing"$/m,
      /^FAIL {2}case 6: the policy has no API key "missing"$/m,
      /^6 cases, 5 failed$/m,
    ]
    for (const line of lines) assert.match(stdout, line)
  })

  test('invalid cases are errors: a misspelt one would pass silently', async t => {
    const unknown = 'unknown key; allowed keys: name, caller, expect, rule'
    const broken: readonly (readonly [content: unknown, where: string])[] = [
      ['', 'broken.yaml: must be a mapping with cases'],
      [{ cases: [] }, '  cases: must not be empty'],
      [{ cases: [3] }, '  cases[0]: must be { caller, tenant'],
      [{ cases: [{ ...passing[0], expekt: 'granted' }] }, `  cases[0].expekt: ${unknown}, tenant, scope, application`],
      [{ cases: [{ ...passing[5], tenant: 'contoso' }] }, `  cases[0].tenant: ${unknown}, permission`],
      [{ cases: [{ ...passing[0], caller: { isuer: 'a' } }] }, '  cases[0].caller: must be { issuer, subject }'],
      [{ cases: [passing[0], { ...passing[0], expect: 'maybe' }] }, '  cases[1].expect: must be granted or denied'],
      [{ cases: [{ ...passing[0], scope: 'Graph' }] }, '  cases[0].scope: must be <resource>/.default, or a name'],
      [{ cases: [{ ...passing[0], scope: undefined }] }, '  cases[0].scope: is required'],
      [{ cases: [passing[0]], hometenant: ids.home }, '  hometenant: unknown key; allowed keys: homeTenant, cases'],
      ['cases: [', 'broken.yaml'],
    ]
    for (const [nth, [content, where]] of broken.entries()) {
      const cases = await file('broken.yaml', content)
      const { code, stderr } =
        nth === 0
          ? await ended(t, ['policy', 'test', policy, cases])
          : await endedHere(policyTestCommand, [policy, cases])
      assert.equal(code, 3, stderr)
      assert.ok(stderr.includes(where), `${where} is missing: ${stderr}`)
    }
  })

  test('the cases are required', async t => {
    const { code, stderr } = await ended(t, ['policy', 'test', policy])
    assert.equal(code, 2)
    assert.match(stderr, /policy test needs CASES\nTry: token-broker policy test --help/)
  })
})
