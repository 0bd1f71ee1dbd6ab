import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph } from '../support/broker.ts'
import { errorIn, tokenEndpointsOf, type Fields, type TokenEndpoints } from '../support/token-endpoints.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import { claimsIn, helper, startAgentWorld, secondAgent } from './agent-identities-world.ts'

/** Which agent identity a request names, at every token endpoint, and what operators see of it. */

const world = await startAgentWorld()
const { emulator, start, exchanges, purge } = world

type Send = (to: TokenEndpoints, fields: Fields) => ReturnType<TokenEndpoints['tokens']>
const byName: readonly (readonly [endpoint: string, send: Send])[] = [
  ['POST /tokens', (to, fields) => to.tokens(fields)],
  ['client credentials', (to, fields) => to.oauth(fields)],
  ['RFC 8693', (to, fields) => to.exchange(fields)],
  ['the identity protocol', (to, fields) => to.identity(fields)],
]
const byId: readonly (readonly [endpoint: string, send: Send])[] = [
  ["Entra's protocol", (to, fields) => to.entra(fields)],
  ["Entra's v1 protocol", (to, fields) => to.entraV1(fields)],
  ['the identity protocol', (to, fields) => to.identity(fields)],
  [
    'the identity protocol of 2017-09-01',
    (to, { client_id: clientid }) => to.identity({ clientid }, undefined, { secret: to.token }),
  ],
]

describe('a request for an agent identity', () => {
  for (const [endpoint, send] of byName)
    test(`${endpoint}: by agent, and not beside an application`, async t => {
      const to = await tokenEndpointsOf(world, await start(t))
      for (const agent of ['helper', sample.agentIdentity]) {
        const { status, json } = await send(to, { agent })
        assert.equal(status, 200)
        assert.equal(claimsIn(json['access_token'])['appid'], sample.agentIdentity)
      }
      const application = endpoint === 'the identity protocol' ? 'client_id' : 'application'
      const both = await send(to, { agent: 'helper', [application]: sample.application })
      assert.match(errorIn(both), /^400 invalid_request$/)
      assert.match(errorIn(await send(to, { agent: 'Helper' })), /^400 invalid_request$/)
    })

  for (const [endpoint, send] of byId)
    test(`${endpoint}: by client_id, in any case`, async t => {
      const to = await tokenEndpointsOf(world, await start(t))
      const { status, json } = await send(to, { client_id: sample.agentIdentity.toUpperCase() })
      assert.equal(status, 200)
      assert.equal(claimsIn(json['access_token'])['appid'], sample.agentIdentity)
      if (endpoint.includes('identity')) assert.equal(json['client_id'], sample.agentIdentity)
    })

  test('that is unknown is refused as one that is not granted', async t => {
    const broker = await start(t)
    const refusals = [{ agent: 'unknown' }, { agent: 'assistants' }].map(async client => {
      const { status, json } = await broker.requestToken({ tenant: 'contoso', scope: graph, ...client })
      return [status, json['code'], String(json['detail']).replace(client.agent, 'x')]
    })
    const [unknown, application] = await Promise.all(refusals)
    assert.deepEqual(unknown?.slice(0, 2), [403, 'not_permitted'])
    assert.deepEqual(unknown, application)
    assert.match(String(unknown?.[2]), /agent identity "x"/)
    assert.equal(exchanges().length, 0)
  })
})

describe('operators', () => {
  test('see agent identities in the audit log', async t => {
    const broker = await start(t)
    await broker.requestToken(helper)
    await broker.requestToken({ ...helper, agent: 'adopted' })
    await broker.requestToken({ ...helper, agent: 'unknown' })
    await purge(broker, 'agent=helper')
    const only = (event: string) => broker.events(event).map(({ application, agent }) => [application, agent])
    assert.deepEqual(only('token.issued'), [['assistants', 'helper']])
    assert.deepEqual(only('token.failed'), [['assistants', 'adopted']])
    assert.deepEqual(only('token.denied'), [[undefined, 'unknown']])
    assert.equal(broker.events('tokens.purged')[0]?.['agent_id'], sample.agentIdentity)
  })

  test('select the cached tokens of an agent identity', async t => {
    const broker = await start(t)
    for (const client of [{ agent: 'helper' }, { agent: 'second' }, { application: 'default' }])
      await broker.requestToken({ tenant: 'contoso', scope: graph, ...client })
    const listed = async (query: string) => {
      const { json } = await broker.get(`/cache/entries${query}`)
      return (json['entries'] as Record<string, unknown>[]).map(each => [
        each['application'],
        each['agent'],
        each['agent_id'],
      ])
    }
    const second = ['assistants', 'second', secondAgent]
    assert.deepEqual(await listed('?agent=second'), [second])
    assert.deepEqual(await listed(`?agent=${secondAgent}`), [second])
    assert.deepEqual(await listed('?agent=unknown'), [])
    assert.deepEqual(await listed(''), [
      ['assistants', 'helper', sample.agentIdentity],
      second,
      ['default', null, null],
    ])
    assert.equal((await broker.get('/cache/entries?agent=Second')).status, 400)
  })

  test('see its failures and decisions', async t => {
    const broker = await start(t)
    await broker.requestToken({ ...helper, agent: 'adopted' })
    await broker.requestToken({ ...helper, agent: 'unknown' })
    const { json: failures } = await broker.get('/cache/failures')
    assert.partialDeepStrictEqual(failures['failures'], [
      { application: 'assistants', agent: 'adopted', tenant: sample.contoso, level: 'tenant', codes: [700213] },
    ])
    const { json: decisions } = await broker.get('/decisions')
    assert.partialDeepStrictEqual(decisions['decisions'], [
      { outcome: 'denied', agent: 'unknown', application: null },
      { outcome: 'failed', agent: 'adopted', application: 'assistants' },
    ])
  })

  test('purge the failure of an agent identity, and not that of another', async t => {
    const broker = await start(t)
    await broker.requestToken({ ...helper, agent: 'adopted' })
    await purge(broker, 'agent=helper')
    emulator.resetCounts()
    await broker.requestToken({ ...helper, agent: 'adopted' })
    assert.equal(exchanges().length, 0)
    await purge(broker, 'agent=adopted')
    await broker.requestToken({ ...helper, agent: 'adopted' })
    assert.equal(exchanges().length, 2)
  })

  test('count the requests of both steps, by outcome', async t => {
    const broker = await start(t)
    await broker.requestToken(helper)
    await broker.requestToken({ ...helper, agent: 'adopted' })
    const { text } = await broker.get('/metrics')
    const series = [...text.matchAll(/^token_broker_agent_identity_requests_total(\{.*) (\d+)$/gm)].map(
      ([, labels, count]) => `${labels} ${count}`,
    )
    assert.deepEqual(series.toSorted(), [
      '{step="agent",outcome="agent_identity"} 1',
      '{step="agent",outcome="ok"} 1',
      '{step="blueprint",outcome="ok"} 2',
    ])
  })
})

test('replicas share the token of an agent identity apart from those of others, and purge it everywhere', async t => {
  const store = new MemoryStore(world.clock)
  const [one, two] = [
    await start(t, { secondLevel: store.replica() }),
    await start(t, { secondLevel: store.replica() }),
  ]
  const tokenOf = async (broker: typeof one, client: object) =>
    (await broker.requestToken({ tenant: 'contoso', scope: graph, ...client })).json['access_token']
  const clients = [{ agent: 'helper' }, { agent: 'second' }, { application: 'default' }]
  const first = await Promise.all(clients.map(client => tokenOf(one, client)))
  const before = exchanges().length
  assert.deepEqual(await Promise.all(clients.map(client => tokenOf(two, client))), first)
  assert.equal(exchanges().length, before)
  await purge(one, 'agent=helper')
  assert.notEqual(await tokenOf(two, { agent: 'helper' }), first[0])
  assert.equal(await tokenOf(two, { agent: 'second' }), first[1])
})
