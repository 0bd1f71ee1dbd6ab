import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph, type Reply, sampleCaller, startWorld } from '../support/broker.ts'
import { encode, type Fields } from '../support/token-endpoints.ts'
import { secret, startAgent } from './world.ts'

/** The table of `test/http/server/bad-input.test.ts`, for the endpoints of an agent. */

const graphId = '00000003-0000-0000-c000-000000000000'
const world = await startWorld()
const scopes = [graph, `${graphId}/.default`, 'api://sample-api/.default', 'https://management.azure.com//.default']
const rules = [{ name: 'all', callers: [sampleCaller], tenants: ['contoso', 'fabrikam'], scopes }]
const broker = await world.broker({ after }, { policy: { rules } })
const agent = await startAgent({ after }, world, broker, ['--metadata'])

type Headers = Readonly<Record<string, string>>
const bearer = { authorization: `Bearer ${secret}` }
const json = { 'content-type': 'application/json' }
const holder = { 'x-identity-header': secret }
const metadataPath = '/metadata/identity/oauth2/token'
const query = (fields: Fields): string => `?${encode({ resource: 'https://graph.microsoft.com', ...fields })}`
const tokens = (body: object | string, headers: Headers = { ...json, ...bearer }) =>
  agent.send('/tokens', { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) })
const identity = (fields: Fields = {}, headers: Headers = holder) =>
  agent.send(`/identity/token${query(fields)}`, { headers })
const metadata = (fields: Fields = {}, headers: Headers = { metadata: 'true' }) =>
  agent.send(metadataPath + query(fields), { headers })

type Responses = readonly [tokens: string, identity: string, metadata: string]
const statusAndCode = ({ status, json: fields }: Reply): string =>
  [status, fields['error'] ?? fields['code']].join(' ').trim()
const assertResponses = async (replies: readonly Promise<Reply>[], expected: Responses) =>
  assert.deepEqual((await Promise.all(replies)).map(statusAndCode), expected)

const resources: readonly (readonly [why: string, text: string, asScope: string, asResource: string])[] = [
  ['a scope', graph, '200', '200'],
  ['a resource without /.default', 'https://graph.microsoft.com', '400 invalid_scope', '200'],
  ['with a slash behind it', 'https://graph.microsoft.com/', '400 invalid_scope', '403 not_permitted'],
  ['granted with a slash behind it', 'https://management.azure.com/', '400 invalid_scope', '200'],
  ['a GUID', graphId, '400 invalid_scope', '200'],
  ['the scope of a GUID', `${graphId}/.default`, '200', '200'],
  ['api://', 'api://sample-api', '400 invalid_scope', '200'],
  ['another case', 'https://GRAPH.microsoft.com/.default', '403 not_permitted', '403 not_permitted'],
  ['/.default alone', '/.default', '400 invalid_scope', '400 invalid_scope'],
  ['two of them', `${graph} ${graph}`, '400 invalid_scope', '400 invalid_scope'],
  ['481 characters', 'a'.repeat(481), '400 invalid_scope', '400 invalid_scope'],
  ['the exchange itself', 'api://AzureADTokenExchange/.default', '403 not_permitted', '403 not_permitted'],
]
describe('a scope or a resource that is', () => {
  for (const [why, text, asScope, asResource] of resources)
    test(why, () =>
      assertResponses(
        [tokens({ tenant: 'contoso', scope: text }), identity({ resource: text }), metadata({ resource: text })],
        [asScope, asResource, asResource],
      ),
    )
})

const tenants: readonly (readonly [why: string, tenant: string, expected: string])[] = [
  ["the agent's", 'contoso', '200'],
  ['another that the broker grants', 'fabrikam', '403 not_permitted'],
  ["the agent's by its id, which an agent does not know", sample.contoso, '403 not_permitted'],
  ['an id in upper case', 'AB000000-0000-4000-8000-0000000000CD', '403 not_permitted'],
  ['common', 'common', '400 invalid_tenant'],
  ['organizations', 'organizations', '400 invalid_tenant'],
  ['a path out of it', '../fabrikam', '400 invalid_tenant'],
  ['an encoded slash', 'contoso%2ffabrikam', '400 invalid_tenant'],
]
describe('a tenant that is', () => {
  for (const [why, tenant, expected] of tenants)
    test(why, async () => assert.equal(statusAndCode(await tokens({ tenant, scope: graph })), expected))
})

const good = { tenant: 'contoso', scope: graph }
const tooLarge = 'x'.repeat(1_000_000)
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const requests: readonly (readonly [why: string, replies: () => readonly Promise<Reply>[], expected: Responses])[] = [
  [
    'has an unknown parameter: only JSON is closed',
    () => [tokens({ ...good, foo: 'x' }), identity({ foo: 'x' }), metadata({ foo: 'x', bypass_cache: 'true' })],
    ['400 invalid_request', '200', '200'],
  ],
  [
    'has a parameter twice',
    () => [
      tokens(`${JSON.stringify(good).slice(0, -1)},"scope":"x"}`),
      identity({ resource: [graph, graph] }),
      metadata({ resource: [graph, graph] }),
    ],
    ['400 invalid_request', '400 invalid_request', '400 invalid_request'],
  ],
  [
    'has both credentials',
    () => [tokens(good, { ...json, ...bearer, ...holder }), identity({}, { ...holder, ...bearer }), metadata({})],
    // What an endpoint does not know as a credential is no second one.
    ['200', '400 invalid_request', '200'],
  ],
  [
    "has the other endpoint's credential",
    () => [tokens(good, { ...json, ...holder }), identity({}, bearer), metadata({}, { ...holder, ...bearer })],
    // The metadata protocol has no credential, but the header that no page in a browser can send.
    ['401 unauthenticated', '401 unauthenticated', '400 invalid_request'],
  ],
  [
    'has another content type',
    () => [
      tokens(good, { ...bearer, ...form }),
      identity({}, { ...holder, ...form }),
      metadata({}, { metadata: 'true', ...form }),
    ],
    ['415 unsupported_media_type', '200', '200'],
  ],
  [
    'has 1 MB',
    () => [tokens(tooLarge), identity({ x: tooLarge }), metadata({ x: tooLarge })],
    // What has no body is limited as a head, before there is an endpoint.
    ['413 too_large', '431 headers_too_large', '431 headers_too_large'],
  ],
  [
    'has the other method',
    () => [
      agent.send('/tokens', { headers: bearer }),
      agent.send(`/identity/token${query({})}`, { method: 'POST', headers: { ...holder, ...form }, body: 'a=b' }),
      agent.send(metadataPath + query({}), { method: 'POST', headers: { metadata: 'true' } }),
    ],
    ['405 method_not_allowed', '400 method_not_allowed', '400 method_not_allowed'],
  ],
  [
    'goes below the path',
    () => [
      tokens(good),
      agent.send(`/identity/token/x${query({})}`, { headers: holder }),
      agent.send(`${metadataPath}/x${query({})}`, { headers: { metadata: 'true' } }),
    ],
    ['200', '400 not_found', '400 not_found'],
  ],
  [
    'names an application by what is no client id',
    () => [
      tokens({ ...good, application: '../x' }),
      identity({ client_id: 'default' }),
      metadata({ client_id: 'default' }),
    ],
    ['400 invalid_request', '400 invalid_request', '400 invalid_request'],
  ],
]
describe('a request that', () => {
  for (const [why, replies, expected] of requests) test(why, () => assertResponses(replies(), expected))
})
