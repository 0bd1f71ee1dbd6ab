import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { graph, policyOf, sampleCaller, send, startWorld, type TestBroker } from '../../support/broker.ts'
import { heartbeatMs, MemoryStore } from '../../support/memory-second-level.ts'

/** `DELETE /tokens` where replicas share a second level. */
const world = await startWorld()
const { emulator, clock } = world
const operators = { name: 'operators', callers: [sampleCaller], permissions: ['purge'] }
const policy = { rules: [...(policyOf(emulator)['rules'] as object[]), operators] }

async function start(t: TestContext) {
  const store = new MemoryStore(clock)
  const connections = [store.replica(), store.replica(), store.replica()] as const
  const replicas: TestBroker[] = []
  for (const secondLevel of connections) replicas.push(await world.broker(t, { policy, secondLevel }))
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = replicas
  const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
  const get = async (replica: TestBroker, tenant = 'contoso') => {
    const { status, headers, json } = await replica.requestToken({ tenant, scope: graph }, { token })
    assert.equal(status, 200)
    return { how: headers['cache-status'], token: json['access_token'] }
  }
  const purge = async (replica: TestBroker, query = 'tenant=contoso') => {
    const headers = { authorization: `Bearer ${token}` }
    return (await send(`${replica.url}/tokens?${query}`, { method: 'DELETE', headers })).json
  }
  const old = (await get(a)).token
  for (const replica of [b, c]) assert.equal((await get(replica)).token, old)
  return { store, connections, replicas: [a, b, c], a, b, c, get, purge, old }
}

const miss = 'token-broker; fwd=miss'
const shared = 'token-broker; fwd=miss, token-broker-shared; hit'

describe('DELETE /tokens with a second level', () => {
  test('reaches all replicas: no later request gets the token, and one exchange serves all', async t => {
    const { a, b, c, get, purge, old } = await start(t)
    await get(b, 'fabrikam')
    assert.deepEqual(await purge(b), { dropped: 1, replicas: 'all' })
    const first = await get(c)
    assert.notEqual(first.token, old)
    assert.equal(first.how, miss)
    for (const replica of [a, b]) assert.deepEqual(await get(replica), { how: shared, token: first.token })
    assert.match(String((await get(b, 'fabrikam')).how), /; hit; /, 'what does not match stays')
    assert.partialDeepStrictEqual(b.events('tokens.purged'), [{ dropped: 1, confirmed: 3, live: 3 }])
    assert.deepEqual(a.events('tokens.purged'), [], 'the line is written where the request was')
  })

  test('says so if a replica has not confirmed it', async t => {
    const { connections, a, b, c, get, purge, old } = await start(t)
    connections[2].cutOff()
    assert.deepEqual(await purge(a), { dropped: 1, replicas: 'this', confirmed: 2, live: 3 })
    assert.partialDeepStrictEqual(a.events('tokens.purged'), [{ confirmed: 2, live: 3 }])
    const { token } = await get(b)
    assert.notEqual(token, old)
    assert.equal((await get(c)).token, old, 'it has not heard of it')
    connections[2].reconnect()
    assert.equal((await get(c)).token, token)
  })

  test('does not count a replica that has been gone for long; it applies the purge when it comes back', async t => {
    const { connections, a, c, get, purge, old } = await start(t)
    connections[2].cutOff()
    clock.advance(heartbeatMs / 1000)
    assert.deepEqual(await purge(a), { dropped: 1, replicas: 'all' })
    connections[2].reconnect()
    assert.notEqual((await get(c)).token, old)
  })

  test('purges its own replica if the store is unavailable, and promises no more', async t => {
    const { connections, a, b, get, purge, old } = await start(t)
    connections[0].cutOff()
    assert.deepEqual(await purge(a), { dropped: 1, replicas: 'this' })
    assert.notEqual((await get(a)).token, old)
    assert.equal((await get(b)).token, old)
    const [line] = a.events('tokens.purged')
    assert.deepEqual([line?.['confirmed'], line?.['live']], [1, undefined])
  })
})
