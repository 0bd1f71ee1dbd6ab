import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { decodeJws } from '../../emulator/jws.ts'
import { graph, observers, sampleCaller, startWorld } from '../support/broker.ts'
import { startAgent } from './world.ts'

/** Agent identities of Entra, requested through `token-broker agent`. */

const world = await startWorld()
const policy = {
  applications: { default: sample.application, assistants: sample.blueprint },
  agents: { helper: { application: 'assistants', id: sample.agentIdentity } },
  rules: [
    {
      name: 'both',
      callers: [sampleCaller],
      tenants: ['contoso'],
      scopes: [graph],
      applications: ['default'],
      agents: ['helper'],
    },
    observers,
  ],
}

async function start(t: TestContext) {
  return startAgent(t, world, await world.broker(t, { policy }))
}
const clientIn = (token: unknown) => decodeJws(String(token))?.payload['appid']

test('an agent passes on the agent identity, and caches its token apart from that of an application', async t => {
  const agent = await start(t)
  const ofApplication = await agent.requestToken()
  for (const time of [1, 2]) {
    const { status, json, headers } = await agent.requestToken({ agent: 'helper' })
    assert.equal(status, 200, JSON.stringify(json))
    assert.equal(clientIn(json['access_token']), sample.agentIdentity)
    assert.deepEqual([json['agent'], json['application']], ['helper', undefined])
    if (time === 2) assert.match(String(headers['cache-status']), /; hit; /)
  }
  assert.equal(clientIn(ofApplication.json['access_token']), sample.application)
  assert.match(agent.logText(), /"agent":"helper"/)
})

test('the identity protocol of an agent names it by its client id, or by its name', async t => {
  const agent = await start(t)
  for (const query of [{ client_id: sample.agentIdentity }, { agent: 'helper' }]) {
    const { status, json } = await agent.identity(query)
    assert.equal(status, 200)
    assert.equal(clientIn(json['access_token']), sample.agentIdentity)
  }
})

test('one that the broker does not grant is refused as the broker does, and an application beside it is malformed', async t => {
  const agent = await start(t)
  const { status, json } = await agent.requestToken({ agent: 'other' })
  assert.equal(status, 403)
  assert.match(String(json['detail']), /agent identity "other"/)
  assert.equal((await agent.requestToken({ agent: 'helper', application: 'default' })).status, 400)
})
