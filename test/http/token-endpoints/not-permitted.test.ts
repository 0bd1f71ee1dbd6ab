import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { graph, type Reply, sampleCaller, send as sendTo, startWorld } from '../../support/broker.ts'
import { endpointRows, exchangeRow, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** What a caller learns whom the policy refuses, and scopes by their names, at every token endpoint. */

const world = await startWorld()
const arm = 'https://management.azure.com/.default'
const policy = {
  scopes: { graph, arm },
  rules: [
    { name: 'a', callers: [sampleCaller], tenants: ['contoso'], scopes: ['graph'] },
    { name: 'purge', callers: [sampleCaller], permissions: ['purge'] },
  ],
}
const broker = await world.broker({ after }, { policy })
const endpoints = await tokenEndpointsOf(world, broker)
const rows = [...endpointRows, { endpoint: { name: 'oauth_token (token exchange)' }, send: exchangeRow }]

/** The text of an error, in any protocol, with JSON's quotes for the ones of RFC 6749. */
const textIn = ({ json }: Reply): string =>
  String(json['detail'] ?? json['error_description'] ?? json['message']).replaceAll("'", '"')

describe('a request that the policy does not permit is explained', () => {
  for (const { endpoint, send } of rows) {
    test(`${endpoint.name}: with the values as they were received, and with who the caller is`, async () => {
      const tenant = sample.contoso.toUpperCase()
      const text = textIn(await send(endpoints, { tenant, scope: arm }))
      assert.ok(text.includes(`tenant "${tenant}", scope "${arm}", application "`), text)
      assert.ok(text.includes('as the subject "sample-caller" of the issuer "emulator"'), text)
    })

    test(`${endpoint.name}: without a credential that is in the wrong field`, async () => {
      const { token } = endpoints
      const reply = await send(endpoints, { scope: `${token.slice(0, 400)}.${token.slice(-20)}/.default` })
      assert.ok([400, 403].includes(reply.status), reply.text)
      assert.ok(!reply.text.includes(token.slice(0, 40)), reply.text)
      assert.match(textIn(reply), /scope "\[redacted jwt\]/)
    })
  }

  test('the client id is repeated as it was received, too', async () => {
    const client = '3B000000-0000-4000-8000-0000000000FF'
    for (const reply of [await endpoints.entra({ client_id: client }), await endpoints.identity({ client_id: client })])
      assert.match(textIn(reply), new RegExp(`application "${client}"`))
  })

  test('an operation, too', async () => {
    const { json } = await broker.get('/health', { token: endpoints.token })
    assert.match(
      String(json['detail']),
      /permission "observe"\. The broker recognised the caller as the subject "sample/,
    )
  })
})

describe("a scope's name", () => {
  for (const { endpoint, send } of rows.filter(
    ({ endpoint: { name } }) => !['identity', 'entra_v1_token'].includes(name),
  ))
    test(`${endpoint.name}: gets the token of the scope, from the same cache entry`, async () => {
      const [byName, byScope] = [await send(endpoints, { scope: 'graph' }), await send(endpoints)]
      assert.equal(byName.status, 200, byName.text)
      assert.equal(byName.json['access_token'], byScope.json['access_token'])
      assert.equal(byName.json['scope'] ?? graph, graph)
      assert.equal(world.emulator.counts().endpoints.token.total, 1)
    })

  test('identity, entra_v1_token: a resource is a resource, and not a name', async () => {
    for (const [status, reply] of [
      [403, await endpoints.identity({ resource: 'graph' })],
      [400, await endpoints.entraV1({ resource: 'graph' })],
    ] as const) {
      assert.equal(reply.status, status)
      assert.match(textIn(reply), /scope "graph\/\.default"/)
    }
  })

  test('audit lines of issued tokens have the scope, those of denied ones what the caller wrote', async () => {
    await endpoints.tokens({ scope: 'graph' })
    await endpoints.tokens({ scope: 'arm', tenant: sample.fabrikam.toUpperCase() })
    assert.equal(broker.events('token.issued').at(-1)?.['scope'], graph)
    const { scope, tenant } = broker.events('token.denied').at(-1) ?? {}
    assert.deepEqual([scope, tenant], ['arm', sample.fabrikam.toUpperCase()])
  })

  test('selects what is purged', async () => {
    const headers = { authorization: `Bearer ${endpoints.token}` }
    const purge = async (scope: string) =>
      (await sendTo(`${broker.url}/tokens?scope=${scope}`, { method: 'DELETE', headers })).json['dropped']
    assert.deepEqual([await purge('arm'), await purge('graph'), await purge('graph')], [0, 1, 0])
  })
})
