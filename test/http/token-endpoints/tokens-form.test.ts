import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { type Reply, graph, sampleCaller, startWorld } from '../../support/broker.ts'

const world = await startWorld()
const { emulator } = world
const good = { tenant: 'contoso', scope: graph }
const json = (value: object) => JSON.stringify(value)
const withTenant = (tenant: unknown) => json({ ...good, tenant })
const withScope = (scope: unknown) => json({ ...good, scope })
const withLife = (life: unknown) => json({ ...good, min_expires_in: life })
const adatum = '4a000000-0000-4000-8000-00000000000a'
const policy = {
  policy: {
    applications: { default: sample.application, second: '3b000000-0000-4000-8000-00000000000b' },
    tenants: { contoso: sample.contoso, fabrikam: sample.fabrikam, adatum },
    scopes: { arm: 'https://management.azure.com/.default' },
    deny: [{ tenants: ['fabrikam'] }],
    rules: [
      { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes: [graph] },
      {
        name: 'others',
        callers: [{ issuer: 'emulator', subject: 'another' }],
        tenants: ['adatum'],
        scopes: [graph],
        applications: ['second'],
      },
    ],
  },
}
const guid = 'ab000000-0000-4000-8000-0000000000cd'

type Row = readonly [why: string, body: string, code: 'invalid_request' | 'invalid_tenant' | 'invalid_scope']
const malformed: readonly Row[] = [
  ['no fields', '{}', 'invalid_request'],
  ['no tenant', json({ scope: graph }), 'invalid_request'],
  ['no scope', json({ tenant: 'contoso' }), 'invalid_request'],
  ['an unknown field', json({ ...good, resource: 'x' }), 'invalid_request'],
  ['a field in another case', json({ ...good, Application: 'default' }), 'invalid_request'],
  ['__proto__ as a field', `{"__proto__":{"admin":true},${json(good).slice(1)}`, 'invalid_request'],
  ['__proto__ in place of the fields', `{"__proto__":${json(good)}}`, 'invalid_request'],
  ['constructor as a field', `{"constructor":{"prototype":{}},${json(good).slice(1)}`, 'invalid_request'],
  ['an array', json([good]), 'invalid_request'],
  ['null', 'null', 'invalid_request'],
  ['a text', '"contoso"', 'invalid_request'],
  ['a number', '1', 'invalid_request'],
  ['a tenant that is a number: nothing is coerced', withTenant(5), 'invalid_tenant'],
  ['a tenant that is null', withTenant(null), 'invalid_tenant'],
  ['a tenant in a list: nothing is unwrapped', withTenant(['contoso']), 'invalid_tenant'],
  ['an empty tenant', withTenant(''), 'invalid_tenant'],
  ['common: any tenant', withTenant('common'), 'invalid_tenant'],
  ['organizations: any tenant', withTenant('organizations'), 'invalid_tenant'],
  ['consumers: personal accounts', withTenant('consumers'), 'invalid_tenant'],
  ['common in upper case', withTenant('COMMON'), 'invalid_tenant'],
  ['a tenant that is a path', withTenant('../common'), 'invalid_tenant'],
  ['a tenant followed by a path', withTenant(`${guid}/../common`), 'invalid_tenant'],
  ['a tenant followed by a query', withTenant(`${guid}?x`), 'invalid_tenant'],
  ['a tenant followed by a line break', withTenant(`${guid}\n`), 'invalid_tenant'],
  ['a name in upper case', withTenant('Contoso'), 'invalid_tenant'],
  ['a name that begins with a hyphen', withTenant('-contoso'), 'invalid_tenant'],
  ['a name that ends with a dot', withTenant('contoso.'), 'invalid_tenant'],
  ['a name of 64 characters', withTenant('a'.repeat(64)), 'invalid_tenant'],
  ['a GUID in braces', withTenant(`{${guid}}`), 'invalid_tenant'],
  ['a GUID in upper case, a digit short', withTenant(guid.toUpperCase().slice(1)), 'invalid_tenant'],
  ['a name with a letter outside ASCII', withTenant('contosö'), 'invalid_tenant'],
  ['a scope that is a number', withScope(5), 'invalid_scope'],
  ['a scope that is null', withScope(null), 'invalid_scope'],
  ['a scope in a list', withScope([graph]), 'invalid_scope'],
  ['a resource without /.default', withScope('https://graph.microsoft.com'), 'invalid_scope'],
  ['one permission instead of /.default', withScope('https://graph.microsoft.com/User.Read.All'), 'invalid_scope'],
  ['/.default in another case', withScope('https://graph.microsoft.com/.DEFAULT'), 'invalid_scope'],
  ['/.default followed by something', withScope(`${graph}/`), 'invalid_scope'],
  ['/.default without a resource', withScope('/.default'), 'invalid_scope'],
  ['two scopes', withScope(`https://management.azure.com/.default ${graph}`), 'invalid_scope'],
  ['a scope followed by a line break', withScope(`${graph}\n`), 'invalid_scope'],
  ["a scope's name in upper case", withScope('Graph'), 'invalid_scope'],
  ["a scope's name of 64 characters", withScope('a'.repeat(64)), 'invalid_scope'],
  ['a client id without /.default: not a name', withScope(guid), 'invalid_scope'],
  ['a control character in the scope', withScope('https://graph\u0000/.default'), 'invalid_scope'],
  ['a scope outside ASCII', withScope('https://gräph/.default'), 'invalid_scope'],
  ['a resource of 481 characters', withScope(`${'a'.repeat(481)}/.default`), 'invalid_scope'],
  ['an application that is null', json({ ...good, application: null }), 'invalid_request'],
  ['an application that is empty', json({ ...good, application: '' }), 'invalid_request'],
  ['an application in upper case', json({ ...good, application: 'Default' }), 'invalid_request'],
  ['an application of 64 characters', json({ ...good, application: 'a'.repeat(64) }), 'invalid_request'],
  ['min_expires_in over half an hour', withLife(1801), 'invalid_request'],
  ['min_expires_in below zero', withLife(-1), 'invalid_request'],
  ['min_expires_in with a fraction', withLife(1.5), 'invalid_request'],
  ['min_expires_in as text: nothing is coerced', withLife('1'), 'invalid_request'],
  ['min_expires_in as a boolean', withLife(true), 'invalid_request'],
  ['min_expires_in that is null', withLife(null), 'invalid_request'],
  ['min_expires_in larger than any number', `{"min_expires_in":1e999,${json(good).slice(1)}`, 'invalid_request'],
]

/** One broker for the whole file: no malformed request reaches its cache. */
const broker = await world.broker({ after })

for (const [why, body, code] of malformed)
  test(`malformed: ${why}`, async () => {
    const reply = await broker.requestToken(body)
    assert.equal(reply.status, 400, reply.text)
    assert.equal(reply.json['code'], code)
    assert.equal(reply.json['type'], `urn:token-broker:error:${code}`)
    assert.match(String(reply.headers['content-type']), /^application\/problem\+json/)
    assert.equal(emulator.counts().endpoints.identity.total, 0)
  })

const wellFormed: readonly (readonly [why: string, body: string])[] = [
  ['a resource of 480 characters', withScope(`${'a'.repeat(480)}/.default`)],
  ['a resource with a slash at its end', withScope('https://graph.microsoft.com//.default')],
  ['a tenant name of 63 characters', withTenant('a'.repeat(63))],
  ['a host without a scheme reads as a name', withScope('graph.microsoft.com')],
  ['a tenant name of one character', withTenant('a')],
  ['a GUID a digit short reads as a name', withTenant(guid.slice(1))],
  ['an application of 63 characters', json({ ...good, application: 'a'.repeat(63) })],
  ['an unknown tenant with the minimum min_expires_in', json({ ...good, tenant: guid, min_expires_in: 0 })],
  ['an unknown tenant with the maximum min_expires_in', json({ ...good, tenant: guid, min_expires_in: 1800 })],
  ['a whole number written with a fraction of zero', `{"min_expires_in":1.0,${withTenant(guid).slice(1)}`],
]
for (const [why, body] of wellFormed)
  test(`well-formed, so the policy decides: ${why}`, async () => {
    const { status, json: problem, text } = await broker.requestToken(body)
    assert.equal(status, 403, text)
    assert.equal(problem['code'], 'not_permitted')
  })

const bad = { authorization: 'Bearer nonsense', 'content-type': 'application/json' }
const notEvenRead: readonly (readonly [why: string, body: string, headers: Record<string, string>])[] = [
  ['a malformed body', '{"x":1}', bad],
  ['broken JSON', '{', bad],
  ['a body over the limit', `{"x":"${'a'.repeat(17_000)}"}`, bad],
  ['another content type', 'x', { ...bad, 'content-type': 'text/html' }],
  ['a forbidden tenant', withTenant('unknown'), bad],
  ['no credential and a malformed body', '{', { 'content-type': 'application/json' }],
]
for (const [why, body, headers] of notEvenRead)
  test(`an unknown caller is refused before anything else is checked: ${why}`, async () => {
    assert.equal((await broker.requestToken(body, { headers })).status, 401)
  })

test('a malformed request for something forbidden is 400, not 403', async () => {
  const { status } = await broker.requestToken(json({ tenant: sample.homeTenant, scope: graph, surprise: true }))
  assert.equal(status, 400)
})

const refusedAlike: readonly (readonly [why: string, body: string])[] = [
  ['a tenant the policy names but does not grant', withTenant('adatum')],
  ['the same tenant by its id', withTenant(adatum)],
  ["the identity's own tenant", withTenant(sample.homeTenant)],
  ['a tenant name that is unknown', withTenant('unknown')],
  ['a tenant id that is unknown', withTenant(guid)],
  ['an application that is unknown', json({ ...good, application: 'unknown' })],
  ['an application that is not granted', json({ ...good, application: 'second' })],
  ['a scope that is not granted', withScope('https://management.azure.com/.default')],
  ['a name of a scope that is unknown', withScope('graph')],
  ['a name of a scope that is not granted', withScope('arm')],
  ['a scope named like a property of every object', withScope('constructor')],
  ['a granted scope in another case: compared byte for byte', withScope('https://GRAPH.microsoft.com/.default')],
  ['a tenant named like a property of every object', withTenant('constructor')],
  ['an application named like a property of every object', json({ ...good, application: 'constructor' })],
  ['a tenant that a deny entry names', withTenant('fabrikam')],
]
/** A response without the parts that differ from request to request, and without what the caller sent. */
const comparable = (body: string, { status, headers, text, json: { request_id: id } }: Reply) => ({
  status,
  headers: { ...headers, date: undefined, 'content-length': undefined },
  text: Object.entries({ application: 'default', ...(JSON.parse(body) as Record<string, string>) }).reduce(
    (masked, [name, value]) => masked.replace(`${name} \\"${value}\\"`, `${name} ${name.toUpperCase()}`),
    text.replace(String(id), 'ID'),
  ),
})
for (const [why, body] of refusedAlike)
  test(`refused without a reason, and with nothing but the caller's own values: ${why}`, async t => {
    const here = await world.broker(t, policy)
    const usual = withTenant('adatum')
    const known = await here.requestToken(usual)
    assert.equal(known.status, 403)
    const expected = comparable(usual, known)
    assert.match(expected.text, /tenant TENANT, scope SCOPE, application APPLICATION/)
    assert.deepEqual(comparable(body, await here.requestToken(body)), expected)
    assert.equal(emulator.counts().endpoints.token.total, 0)
  })
