import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { type Reply, graph, sampleCaller, send, startWorld } from '../../support/broker.ts'
import { encode, type Fields, jwtBearer, tokenEndpointsOf } from '../../support/token-endpoints.ts'

const graphId = '00000003-0000-0000-c000-000000000000'
const guid = 'ab000000-0000-4000-8000-0000000000cd'
const northwind = 'cd000000-0000-4000-8000-0000000000ef'
const world = await startWorld({ tenants: [{ id: sample.contoso }, { id: northwind }] })
const { emulator } = world
const scopes = [graph, `${graphId}/.default`, 'api://sample-api/.default', 'https://management.azure.com//.default']
const policy = {
  tenants: { contoso: sample.contoso, northwind },
  rules: [{ name: 'all', callers: [sampleCaller], tenants: ['contoso', 'northwind'], scopes }],
}
const broker = await world.broker({ after }, { policy })
const { oauth, entra, identity, token } = await tokenEndpointsOf(world, broker)

/** The error of each endpoint: a status, and a code or an OAuth error. */
type Errors = readonly [tokens: string, oauth: string, entra: string, identity: string]
const ok: Errors = ['200', '200', '200', '200']
const badTenant: Errors = ['400 invalid_tenant', '400 invalid_request', '400 invalid_request', '400 invalid_tenant']
const badScope: Errors = ['400 invalid_scope', '400 invalid_scope', '400 invalid_scope', '400 invalid_scope']
const badRequest: Errors = ['400 invalid_request', '400 invalid_request', '400 invalid_request', '400 invalid_request']
const forbidden: Errors = [
  '403 not_permitted',
  '400 unauthorized_client',
  '400 unauthorized_client',
  '403 not_permitted',
]
/** The error for a path that no endpoint has. Where the tenant is in the path, a slash in it makes another path. */
const notThere = (errors: Errors): Errors => [errors[0], errors[1], '404 not_found', '400 not_found']

const errorText = ({ status, json }: Reply): string =>
  [status, json['code'] !== undefined && json['error'] === undefined ? json['code'] : json['error']].join(' ').trim()

async function assertErrors(replies: readonly Promise<Reply>[], expected: Errors): Promise<void> {
  const before = emulator.counts().endpoints.token.total
  const errors = (await Promise.all(replies)).map(errorText)
  assert.deepEqual(errors, expected)
  if (!expected.includes('200')) assert.equal(emulator.counts().endpoints.token.total, before, 'no request to Entra')
}

const tenants: readonly (readonly [why: string, tenant: string, expected: Errors])[] = [
  ['a name', 'contoso', ok],
  ['an id', northwind, ok],
  ['an id in upper case', northwind.toUpperCase(), ok],
  ['common: any tenant', 'common', badTenant],
  ['organizations: any tenant', 'organizations', badTenant],
  ['consumers: personal accounts', 'consumers', badTenant],
  ['common in upper case', 'COMMON', badTenant],
  ['a name in upper case', 'Contoso', badTenant],
  ['a name that ends with a dot', 'contoso.', badTenant],
  ['two dots', '..', badTenant],
  ['two encoded dots', '%2e%2e', badTenant],
  ['a slash, encoded in the path', 'contoso%2ffabrikam', badTenant],
  ['a slash', 'contoso/fabrikam', notThere(badTenant)],
  ['a path that leads out of it', '../fabrikam', notThere(badTenant)],
  ['a slash, encoded twice', 'contoso%252ffabrikam', badTenant],
  ['a backslash', 'contoso%5cfabrikam', badTenant],
  ['a NUL', 'contoso%00', badTenant],
  ['a line break', 'contoso%0d%0a', badTenant],
  ['nothing', '', ['400 invalid_tenant', '400 invalid_request', '400 invalid_request', '400 invalid_tenant']],
  ['a name with a letter outside ASCII', 'contos%c3%b6', badTenant],
  ['a domain that is not in the policy', 'contoso.onmicrosoft.com', forbidden],
  ['a name that is unknown', 'unknown', forbidden],
  ['an id that is unknown', guid, forbidden],
  ['64 characters', 'a'.repeat(64), badTenant],
  ['2,000 characters', 'a'.repeat(2000), badTenant],
]
describe('a tenant', () => {
  for (const [why, tenant, expected] of tenants)
    test(`that is ${why}`, async () => {
      // In a body nothing is percent-encoded, so there the text itself is the tenant.
      const plain = tenant.includes('%') ? decodeURIComponent(tenant) : tenant
      await assertErrors(
        [
          broker.requestToken({ tenant: plain, scope: graph }),
          oauth({ tenant: plain }),
          entra({}, tenant),
          identity({}, tenant),
        ],
        expected,
      )
    })
})

const resources: readonly (readonly [why: string, resource: string, asScope: Errors, asResource: Errors[3]])[] = [
  ['a scope', graph, ok, '200'],
  ['a resource without /.default', 'https://graph.microsoft.com', badScope, '200'],
  ['a resource with a slash at the end', 'https://graph.microsoft.com/', badScope, '403 not_permitted'],
  ['a granted resource that ends with a slash', 'https://management.azure.com/', badScope, '200'],
  ['its scope, with two slashes', 'https://management.azure.com//.default', ok, '200'],
  ['a scope with a slash at the end', `${graph}/`, badScope, '403 not_permitted'],
  ['a GUID', graphId, badScope, '200'],
  ['the scope of a GUID', `${graphId}/.default`, ok, '200'],
  ['api://', 'api://sample-api', badScope, '200'],
  ['the scope of api://', 'api://sample-api/.default', ok, '200'],
  ['another case', graph.toUpperCase().replace('DEFAULT', 'default'), forbidden, '403 not_permitted'],
  ['/.default alone', '/.default', badScope, '400 invalid_scope'],
  ['two scopes', `${graph} api://sample-api/.default`, badScope, '400 invalid_scope'],
  ['a line break', `${graph}\n`, badScope, '400 invalid_scope'],
  ['one permission', 'https://graph.microsoft.com/User.Read.All', badScope, '403 not_permitted'],
  ['481 characters', 'a'.repeat(481), badScope, '400 invalid_scope'],
  ['the exchange itself', 'api://AzureADTokenExchange/.default', forbidden, '403 not_permitted'],
]
describe('a scope, or a resource where the protocol has one, is compared byte for byte', () => {
  for (const [why, text, asScope, asResource] of resources)
    test(`that is ${why}`, () =>
      assertErrors(
        [
          broker.requestToken({ tenant: 'contoso', scope: text }),
          oauth({ scope: text }),
          entra({ scope: text }),
          identity({ resource: text }),
        ],
        [asScope[0], asScope[1], asScope[2], asResource],
      ))
})

const authorization = `Bearer ${token}`
const json = JSON.stringify({ tenant: 'contoso', scope: graph })
const jsonType = { authorization, 'content-type': 'application/json' }
const formType = { 'content-type': 'application/x-www-form-urlencoded' }
const form = encode({
  grant_type: 'client_credentials',
  tenant: 'contoso',
  client_id: sample.application,
  scope: graph,
  client_assertion: token,
  client_assertion_type: jwtBearer,
})
const repeated: Fields = { scope: [graph, graph] }
const post = (path: string, headers: Readonly<Record<string, string>>, body: string) =>
  send(broker.url + path, { method: 'POST', headers, body })
const get = (path: string, headers: Readonly<Record<string, string>> = { 'x-identity-header': token }) =>
  send(broker.url + path, { headers })
const identityPath = '/identity/contoso/token?resource=https://graph.microsoft.com'
const entraPath = '/contoso/oauth2/v2.0/token'
const tooLarge = 'x'.repeat(1_000_000)

const requests: readonly (readonly [why: string, replies: () => readonly Promise<Reply>[], expected: Errors])[] = [
  [
    'has an unknown parameter: only the JSON of POST /tokens, the broker’s own protocol, refuses it',
    () => [
      broker.requestToken({ ...(JSON.parse(json) as object), foo: 'x' }),
      oauth({ foo: 'x' }),
      entra({ foo: 'x' }),
      identity({ foo: 'x' }),
    ],
    ['400 invalid_request', '200', '200', '200'],
  ],
  [
    'has a parameter twice',
    () => [
      broker.requestToken(`${json.slice(0, -1)},"scope":"x"}`),
      oauth(repeated),
      entra(repeated),
      identity({ resource: [graph, graph] }),
    ],
    badRequest,
  ],
  [
    'has a header and an assertion, or both headers',
    () => [
      post('/tokens', { ...jsonType, 'x-identity-header': token }, json),
      oauth({}, { authorization }),
      entra({}, 'contoso', { authorization }),
      identity({}, 'contoso', { authorization, 'x-identity-header': token }),
    ],
    // POST /tokens does not know the other parameter as a credential, so there is only one.
    ['200', '400 invalid_request', '400 invalid_request', '400 invalid_request'],
  ],
  [
    'has no credential',
    () => [
      post('/tokens', { 'content-type': 'application/json' }, json),
      oauth({ client_assertion: undefined }),
      entra({ client_assertion: undefined }),
      identity({}, 'contoso', {}),
    ],
    ['401 unauthenticated', '401 invalid_client', '401 invalid_client', '401 unauthenticated'],
  ],
  [
    'has another content type',
    () => [
      post('/tokens', { authorization, ...formType }, form),
      post('/oauth2/token', jsonType, json),
      post(entraPath, jsonType, json),
      get(identityPath, { 'x-identity-header': token, ...formType }),
    ],
    // Azure SDKs send a content type with their GET.
    ['415 unsupported_media_type', '415 invalid_request', '415 invalid_request', '200'],
  ],
  [
    'is JSON in a form, or a form in JSON',
    () => [
      post('/tokens', jsonType, form),
      post('/oauth2/token', formType, json),
      post(entraPath, formType, json),
      get(`/identity/contoso/token?${encodeURIComponent(json)}`),
    ],
    ['400 invalid_request', '401 invalid_client', '401 invalid_client', '400 invalid_request'],
  ],
  [
    'has 1 MB',
    () => [
      post('/tokens', jsonType, tooLarge),
      post('/oauth2/token', formType, tooLarge),
      post(entraPath, formType, tooLarge),
      get(`${identityPath}&x=${tooLarge}`),
    ],
    // A request without a body is limited by its head, before an endpoint is chosen.
    ['413 too_large', '413 invalid_request', '413 invalid_request', '431 headers_too_large'],
  ],
  [
    'has the other method',
    () => [
      get('/tokens', { authorization }),
      get('/oauth2/token', { authorization }),
      get(entraPath, { authorization }),
      post(identityPath, formType, form),
    ],
    ['405 method_not_allowed', '405 invalid_request', '405 invalid_request', '400 method_not_allowed'],
  ],
  [
    'is percent-encoded wrongly in its path',
    () => [
      post('/tokens%zz', jsonType, json),
      post('/oauth2/token%zz', formType, form),
      post('/%zz/oauth2/v2.0/token', formType, form),
      get('/identity/%zz/token'),
    ],
    badRequest,
  ],
]
describe('a request', () => {
  for (const [why, replies, expected] of requests) test(`that ${why}`, () => assertErrors(replies(), expected))
})
