import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph } from '../support/broker.ts'
import { arm, claimsIn, exchange, firstOf, helper, secondAgent, startAgentWorld } from './agent-identities-world.ts'

const { emulator, clock, start, exchanges, fields, purge } = await startAgentWorld()

test('a token of an agent identity takes two requests, both to its own tenant, the first by its blueprint', async t => {
  const broker = await start(t)
  const { status, json } = await broker.requestToken(helper)
  assert.equal(status, 200)
  const { appid, tid, xms_par_app_azp: parent } = claimsIn(json['access_token'])
  assert.deepEqual([appid, tid, parent], [sample.agentIdentity, sample.contoso, sample.blueprint])
  assert.deepEqual([json['application'], json['agent'], json['tenant']], ['assistants', 'helper', sample.contoso])
  assert.deepEqual(fields(), [firstOf(sample.agentIdentity), [sample.contoso, sample.agentIdentity, graph, undefined]])
  const [first, second] = exchanges()
  assert.equal(first?.assertion?.payload['sub'], sample.identity.objectId)
  assert.match(String(second?.assertion?.payload['sub']), new RegExp(`/${sample.agentIdentity}$`))
})

test("the blueprint's token serves every scope of its agent identity, and no other agent identity", async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  await broker.requestToken({ ...helper, scope: arm })
  await broker.requestToken({ ...helper, agent: 'second' })
  assert.deepEqual(
    fields().map(([, client, scope]) => [client, scope]),
    [
      [sample.blueprint, exchange],
      [sample.agentIdentity, graph],
      [sample.agentIdentity, arm],
      [sample.blueprint, exchange],
      [secondAgent, graph],
    ],
  )
})

test("the blueprint's token is requested once by callers that come together", async t => {
  const broker = await start(t)
  const release = emulator.hold('token')
  const replies = [graph, arm].map(scope => broker.requestToken({ ...helper, scope }))
  release()
  assert.deepEqual(
    (await Promise.all(replies)).map(({ status }) => status),
    [200, 200],
  )
  assert.equal(fields().filter(([, client]) => client === sample.blueprint).length, 1)
})

test("the blueprint's token is replaced by its expiry", async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  clock.advance(3599 - 59)
  emulator.resetCounts()
  assert.equal((await broker.requestToken(helper)).status, 200)
  assert.deepEqual(fields()[0], firstOf(sample.agentIdentity))
})

test('tokens of an agent identity, of another one and of the application are cached apart', async t => {
  const broker = await start(t)
  const ids = []
  for (const client of [{ agent: 'helper' }, { agent: 'second' }, { application: 'default' }]) {
    for (const time of [1, 2]) {
      const { status, json, headers } = await broker.requestToken({ tenant: 'contoso', scope: graph, ...client })
      assert.equal(status, 200)
      if (time === 2) assert.match(String(headers['cache-status']), /; hit; /)
      else ids.push(claimsIn(json['access_token'])['appid'])
    }
  }
  assert.deepEqual(ids, [sample.agentIdentity, secondAgent, sample.application])
})

test('an agent identity is also named by its client id, and has the same cached token', async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  for (const client of [{ agent: sample.agentIdentity }, { application: sample.agentIdentity }]) {
    const { status, json, headers } = await broker.requestToken({ tenant: 'contoso', scope: graph, ...client })
    assert.equal(status, 200)
    assert.match(String(headers['cache-status']), /; hit; /)
    assert.equal(json['agent'], 'helper')
  }
})

test("a purge of an agent identity forgets the blueprint's token too, and nothing of others", async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  await broker.requestToken({ ...helper, agent: 'second' })
  await broker.requestToken({ tenant: 'contoso', scope: graph })
  emulator.resetCounts()
  assert.deepEqual(await purge(broker, 'agent=helper'), { dropped: 1, replicas: 'this' })
  await broker.requestToken({ ...helper, agent: 'second' })
  await broker.requestToken({ tenant: 'contoso', scope: graph })
  assert.deepEqual(fields(), [])
  await broker.requestToken(helper)
  assert.deepEqual(fields()[0], firstOf(sample.agentIdentity))
})

test('a purge by the client id of an agent identity is one of that agent identity, as in requests', async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  await broker.requestToken({ ...helper, agent: 'second' })
  assert.deepEqual(await purge(broker, `application=${sample.agentIdentity}`), {
    dropped: 1,
    replicas: 'this',
  })
})

test('a purge of a blueprint drops the tokens of its agent identities', async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  await broker.requestToken({ ...helper, agent: 'second' })
  await broker.requestToken({ tenant: 'contoso', scope: graph })
  assert.deepEqual(await purge(broker, 'application=assistants'), { dropped: 2, replicas: 'this' })
})

test('neither token of the two requests is in the log, in the metrics or in an entry', async t => {
  const broker = await start(t)
  const { json } = await broker.requestToken(helper)
  await broker.requestToken({ ...helper, agent: 'adopted' })
  const shown = [
    broker.logText(),
    (await broker.get('/metrics')).text,
    (await broker.get('/cache/entries')).text,
  ].join()
  const sent = exchanges().map(({ assertion }) => JSON.stringify(assertion?.payload['uti']).slice(1, -1))
  assert.ok(!shown.includes(String(json['access_token']).split('.')[2] ?? '-'))
  assert.equal(sent.length, 4)
  assert.doesNotMatch(shown, /eyJ[\w-]+\.eyJ/)
})
