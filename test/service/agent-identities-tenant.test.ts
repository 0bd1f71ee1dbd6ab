import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph, observers, sampleCaller } from '../support/broker.ts'
import { tokenEndpointsOf } from '../support/token-endpoints.ts'
import { helper, startAgentWorld } from './agent-identities-world.ts'

const world = await startAgentWorld()
const { start, exchanges } = world

const tenants = ['contoso', 'fabrikam', sample.application]
const rule = { name: 'agents', callers: [sampleCaller], tenants, scopes: [graph], agents: ['helper'] }
const policyWith = (tenant: string) => ({
  applications: { default: sample.application, assistants: sample.blueprint },
  agents: { helper: { application: 'assistants', id: sample.agentIdentity, tenant } },
  rules: [rule, observers],
})

for (const tenant of ['contoso', sample.contoso, sample.contoso.toUpperCase()])
  test(`an agent identity with tenant ${tenant} gets no token for another tenant, and no exchange is made`, async t => {
    const broker = await start(t, { policy: policyWith(tenant) })
    for (const other of ['fabrikam', sample.fabrikam, sample.fabrikam.toUpperCase(), sample.application]) {
      const { status, json } = await broker.requestToken({ ...helper, tenant: other })
      assert.deepEqual([status, json['code']], [403, 'not_permitted'])
      // The words are those of a tenant that no rule lists: callers learn nothing of the policy.
      assert.match(
        String(json['detail']),
        /^No rule of the policy grants this caller this tenant, scope and agent identity\./,
      )
      assert.doesNotMatch(JSON.stringify(json), new RegExp(sample.contoso, 'i'))
    }
    assert.equal(exchanges().length, 0)
    const denied = broker.events('token.denied')
    assert.deepEqual(
      new Set(denied.map(line => [line['reason'], line['agent']].join())),
      new Set(['other_tenant,helper']),
    )
    const { text: metrics } = await broker.get('/metrics')
    assert.match(metrics, /token_broker_denials_total\{[^}]*reason="other_tenant"[^}]*\} 4/)

    for (const own of ['contoso', sample.contoso.toUpperCase()])
      assert.equal((await broker.requestToken({ ...helper, tenant: own })).status, 200)
    assert.equal(exchanges().length, 2)
  })

test('the same by its client id at the endpoints of Azure SDKs, each with the error of its protocol', async t => {
  const broker = await start(t, { policy: policyWith('contoso') })
  const { entra, entraV1 } = await tokenEndpointsOf(world, broker)
  for (const [name, send] of Object.entries({ entra, entraV1 })) {
    const { status, json } = await send({ client_id: sample.agentIdentity }, sample.fabrikam)
    assert.deepEqual([status, json['error']], [400, 'unauthorized_client'], name)
    assert.equal((await send({ client_id: sample.agentIdentity }, sample.contoso)).status, 200, name)
  }
  const token = await world.emulator.mintCallerToken()
  const identity = async (tenant: string) => {
    const query = new URLSearchParams({ resource: 'https://graph.microsoft.com', client_id: sample.agentIdentity })
    const url = `${broker.url}/identity/${tenant}/token?${query.toString()}`
    return (await fetch(url, { headers: { 'x-identity-header': token } })).status
  }
  assert.deepEqual([await identity('fabrikam'), await identity('contoso')], [403, 200])
  assert.equal(exchanges().length, 2)
})
