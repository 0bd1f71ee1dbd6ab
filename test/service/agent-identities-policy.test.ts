import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph } from '../support/broker.ts'
import { base, looks, rule, start, world } from './reload-world.ts'

/** What a change of the policy means for an agent identity. */

const { emulator } = world
const arm = 'https://management.azure.com/.default'
const applications = { default: sample.application, assistants: sample.blueprint }
const agents = { helper: { application: 'assistants', id: sample.agentIdentity } }
const granted = { applications, agents, rules: [{ ...rule, scopes: [graph, arm], agents: ['helper'] }, looks] }
const ungranted = { applications, agents: undefined, rules: [rule, looks] }

/** A broker that has a token of the agent identity, and of its blueprint. */
async function started(t: TestContext) {
  const { broker, change, token } = await start(t, granted)
  const request = async (scope: string) => {
    emulator.resetCounts()
    const { status } = await broker.requestToken({ tenant: 'contoso', scope, agent: 'helper' }, { token })
    return [status, emulator.counts().endpoints.token.total]
  }
  assert.deepEqual(await request(graph), [200, 2])
  return { change, request }
}

test("the blueprint's token is not kept while the policy does not have its agent identity", async t => {
  const { change, request } = await started(t)
  await change(ungranted)
  assert.deepEqual(await request(arm), [403, 0])
  await change(granted)
  assert.deepEqual(await request(arm), [200, 2])
})

test("nor while the agent identity has another blueprint: that one's token is another", async t => {
  const { change, request } = await started(t)
  await change({ ...granted, agents: { helper: { application: 'default', id: sample.agentIdentity } } })
  assert.notEqual((await request(arm))[0], 200)
  await change(granted)
  assert.deepEqual(await request(arm), [200, 2])
})

test('nor while the policy has the agent identity in another tenant', async t => {
  const { change, request } = await started(t)
  const inTenant = (tenant: string) => ({ ...granted, agents: { helper: { ...agents.helper, tenant } } })
  await change(inTenant('fabrikam'))
  assert.deepEqual(await request(arm), [403, 0])
  await change(inTenant('contoso'))
  assert.deepEqual(await request(arm), [200, 2])
  await change(granted)
  assert.deepEqual(await request(graph), [200, 0], 'kept, because its tenant is not restricted any more')
})

test('it is kept when another part of the policy changes, also the name of the agent identity', async t => {
  const { change, request } = await started(t)
  const renamed = { other: agents.helper, helper: { application: 'assistants', id: sample.fabrikam } }
  await change({ ...granted, agents: renamed, rules: [{ ...granted.rules[0], agents: ['other'] }, looks] })
  await change({ ...granted, tenantLimit: '1000/m', tenants: base['tenants'] })
  assert.deepEqual(await request(arm), [200, 1])
})
