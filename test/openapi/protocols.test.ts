import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { type ErrorCode, errorTable } from '../../src/errors.ts'
import { tokenEndpoints } from '../../src/http/token-endpoints/all.ts'
import { errorsOf } from '../../src/http/token-endpoints/token-endpoint.ts'
import { graph, type Reply, send } from '../support/broker.ts'
import { endpointRows, errorIn, expectedError, tokenEndpointsOf } from '../support/token-endpoints.ts'
import { assertDocumented, type Operation, operationOf, responseOf } from './document.ts'
import { brokerOptions, documentedWorld } from './world.ts'

/** Responses of token endpoints in other protocols are as the document says, also to the requests of its examples. */

const world = await documentedWorld()
const { emulator } = world
const { policy } = brokerOptions(world)
const publicUrl = 'https://broker.example'
/** An API key with which every request succeeds that succeeds with the token. */
const apiKey = 'tb_protocols'
const withKey = {
  ...policy,
  apiKeys: { erp: { sha256: hash('sha256', apiKey, 'hex'), expires: '2999-01-01' } },
  rules: [
    ...((policy?.['rules'] ?? []) as readonly object[]),
    { name: 'erp', callers: [{ apiKey: 'erp' }], tenants: ['contoso', 'tailspin'], scopes: [graph] },
  ],
}
const broker = await world.broker({ after }, { policy: withKey, environment: { BROKER_PUBLIC_URL: publicUrl } })
const token = await emulator.mintCallerToken()
const expired = await emulator.mintCallerToken({}, { expiresIn: -60 })
const type = { 'content-type': 'application/x-www-form-urlencoded' }
const { applications = {} } = (policy ?? {}) as { applications?: Record<string, string> }
const clientId = applications['default'] ?? ''

const form = (path: string, body: Readonly<Record<string, string>>) =>
  send(broker.url + path, { method: 'POST', headers: type, body: new URLSearchParams(body).toString() })

/** The example's form with a credential that is good, or another one. */
function posted(operationId: string, path: string, credential = token, change: Readonly<Record<string, string>> = {}) {
  const { content = {} } = operationOf(operationId).requestBody ?? {}
  const examples = Object.values(content['application/x-www-form-urlencoded']?.examples ?? {})
  assert.ok(examples.length > 0)
  return examples.map(({ value }) => {
    const body = { ...(value as Record<string, string>) }
    for (const name of ['client_assertion', 'subject_token']) if (name in body) body[name] = credential
    if ('client_secret' in body) body['client_secret'] = credential === token ? apiKey : credential
    return form(path, { ...body, ...change })
  })
}

const identity = (query: string, headers: Readonly<Record<string, string>> = { 'x-identity-header': token }) =>
  send(`${broker.url}/identity/contoso/token?resource=${encodeURIComponent(graph)}${query}`, { headers })

const rows: readonly (readonly [operationId: string, status: number, request: () => readonly Promise<Reply>[]])[] = [
  ['issueOAuthToken', 200, () => posted('issueOAuthToken', '/oauth2/token')],
  ['issueOAuthToken', 400, () => posted('issueOAuthToken', '/oauth2/token', token, { tenant: 'fabrikam' })],
  ['issueOAuthToken', 401, () => posted('issueOAuthToken', '/oauth2/token', expired).slice(0, 1)],
  ['issueOAuthToken', 400, () => posted('issueOAuthToken', '/oauth2/token', token, { scope: 'User.Read' })],
  ['issueOAuthToken', 413, () => posted('issueOAuthToken', '/oauth2/token', 'x'.repeat(17_000))],
  ['issueEntraToken', 200, () => posted('issueEntraToken', '/contoso/oauth2/v2.0/token')],
  ['issueEntraToken', 400, () => posted('issueEntraToken', '/fabrikam/oauth2/v2.0/token')],
  ['issueEntraToken', 401, () => posted('issueEntraToken', '/contoso/oauth2/v2.0/token', expired)],
  ['issueEntraToken', 401, () => posted('issueEntraToken', '/tailspin/oauth2/v2.0/token')],
  ['issueEntraV1Token', 200, () => posted('issueEntraV1Token', '/contoso/oauth2/token')],
  ['issueEntraV1Token', 400, () => posted('issueEntraV1Token', '/fabrikam/oauth2/token')],
  ['issueEntraV1Token', 401, () => posted('issueEntraV1Token', '/contoso/oauth2/token', expired)],
  ['getIdentityToken', 200, () => [identity(''), identity(`&client_id=${clientId}`)]],
  ['getIdentityToken', 200, () => [identity('', { secret: token }), identity(`&clientid=${clientId}`)]],
  ['getIdentityToken', 400, () => [identity('&client_id=x')]],
  ['getIdentityToken', 401, () => [identity('', {}), identity('', { 'x-identity-header': expired })]],
  ['getOAuthMetadata', 200, () => [send(`${broker.url}/.well-known/oauth-authorization-server`)]],
  ['getOpenIdConfiguration', 200, () => [send(`${broker.url}/contoso/v2.0/.well-known/openid-configuration`)]],
  ['getOpenIdConfiguration', 400, () => [send(`${broker.url}/common/v2.0/.well-known/openid-configuration`)]],
]

describe('a response in another protocol is as documented', () => {
  for (const [nth, [operationId, status, request]] of rows.entries())
    test(`${nth}: ${operationId} ${status}`, async () => {
      for (const reply of await Promise.all(request())) {
        assert.equal(reply.status, status, reply.text)
        assertDocumented(operationOf(operationId), reply)
      }
    })

  test('every error while the managed identity is unavailable is as documented, with Retry-After', async t => {
    const here = await world.broker(t, brokerOptions(world))
    emulator.fault({ kind: 'reset', at: 'identity' })
    t.after(() => emulator.clearFaults())
    const endpoints = await tokenEndpointsOf(world, here)
    for (const { endpoint, send: request } of endpointRows) {
      const fields = 'client_id' in propertiesOf(endpoint.body?.schema) ? { client_id: clientId } : {}
      const reply = await request(endpoints, { fields })
      assert.equal(errorIn(reply), expectedError(endpoint, 'identity_unavailable').error)
      assertDocumented(operationOf(endpoint.operationId), reply)
    }
  })
})

test('every token endpoint is in the document, with its path, method, parameters and errors', () => {
  for (const endpoint of tokenEndpoints()) {
    const { operationId, path, method, body, params, query, protocol } = endpoint
    const operation = operationOf(operationId)
    assert.deepEqual([operation.path, operation.method], [path.replaceAll(/:(\w+)/g, '{$1}'), method])
    assert.deepEqual(Object.keys(operation.requestBody?.content ?? {}), body ? [body.mediaType] : [])
    const documented = (operation.parameters ?? []).map(({ name }) => name)
    const own = [params, query].flatMap(schema => Object.keys(propertiesOf(schema)))
    assert.deepEqual(documented.toSorted(), own.toSorted())
    const codes = codesIn(operation)
    assert.deepEqual(new Set(codes.map(({ code }) => code)), new Set(errorsOf(endpoint)))
    for (const { status, code, schema } of codes)
      assert.deepEqual([status, schema], [protocol.statusOf(code), `#/components/schemas/${protocol.errorSchema}`])
  }
})

/** The properties of an object's schema; none without one. */
const propertiesOf = (schema: object | undefined): object =>
  schema && 'properties' in schema ? Object(schema.properties) : {}

/** The codes that an operation lists, with the status and the schema under which they stand. */
const codesIn = ({ responses }: Operation) =>
  Object.entries(responses)
    .filter(([status]) => Number(status) >= 400)
    .flatMap(([status, response]) =>
      Object.values(responseOf(response).content).flatMap(({ schema, examples = {} }) =>
        Object.keys(examples).map(name => ({
          status: Number(status),
          code: codeOfExample(name),
          schema: schema['$ref'],
        })),
      ),
    )

/** Examples of one code have the code's name, or a longer one. */
const codeOfExample = (name: string): ErrorCode => {
  const codes = Object.keys(errorTable) as ErrorCode[]
  return codes.find(code => name === code || name.startsWith(`${code}_`)) ?? assert.fail(name)
}
