import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { graph, send, until } from '../support/broker.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import { assertDocumented, document, isOfOthers, operationOf, operations, type Operation, resolve } from './document.ts'
import { brokerOptions, documentedWorld } from './world.ts'

const world = await documentedWorld()
const broker = await world.broker({ after }, brokerOptions(world))
const issueToken = operationOf('issueToken')

const bodies = Object.entries(issueToken.requestBody?.content['application/json']?.examples ?? {})
assert.ok(bodies.length >= 4)
for (const [name, { value }] of bodies) {
  test(`POST /tokens with the example ${name}`, async () => {
    const reply = await broker.requestToken(JSON.stringify(value))
    assert.equal(reply.status, 200, reply.text)
    assertDocumented(issueToken, reply)
  })
}

test('a token comes from each source that the examples of Cache-Status name', async t => {
  const { emulator, clock } = world
  const store = new MemoryStore(clock)
  const other = await world.broker(t, { ...brokerOptions(world), secondLevel: store.replica() })
  const here = await world.broker(t, { ...brokerOptions(world), secondLevel: store.replica() })
  const seen = new Set<string>()
  const requestToken = async (minExpiresIn = 0, from = here) => {
    const reply = await from.requestToken({ tenant: 'contoso', scope: graph, min_expires_in: minExpiresIn })
    assert.equal(reply.status, 200, reply.text)
    assertDocumented(issueToken, reply)
    seen.add(String(reply.headers['cache-status']).replace(/ttl=\d+/, 'ttl=n'))
  }
  emulator.configure({ latency: { token: 250 } })
  await Promise.all([requestToken(), requestToken()])
  await requestToken()
  await requestToken(0, other)
  emulator.fault({ kind: 'server-error', at: 'token' })
  clock.advance(3000)
  await requestToken()
  await until('the refresh fails', () => here.events('token.refresh_failed').length > 0)
  await requestToken()
  emulator.clearFaults()
  clock.advance(3600)
  await requestToken()
  clock.advance(2400)
  await requestToken(1800)

  const header = resolve(document.components.headers['CacheStatus']) as { schema: { examples: readonly string[] } }
  const named = header.schema.examples.map(example => example.replace(/ttl=\d+/, 'ttl=n'))
  assert.deepEqual([...seen].toSorted(), named.toSorted())
})

/** Paths with each value of a path parameter (its example, if it has no list), and with each documented example of each other one. */
function pathsOf({ path: pattern, parameters = [] }: Operation): readonly string[] {
  const free = parameters.filter(({ in: place, schema }) => place === 'path' && !schema['enum'])
  const path = free.reduce(
    (text, { name, examples }) => text.replace(`{${name}}`, String(Object.values(examples)[0]?.value)),
    pattern,
  )
  const values = parameters
    .filter(each => !free.includes(each))
    .flatMap(({ name, in: place, schema, examples }) =>
      place === 'path'
        ? (schema['enum'] as string[]).map(value => path.replace(`{${name}}`, value))
        : Object.values(examples).map(({ value }) => `${path}?${name}=${encodeURIComponent(String(value))}`),
    )
  return path.includes('{') ? values : [path, ...values]
}

const purge = operationOf('purgeTokens')
const purges = (purge.parameters ?? []).flatMap(({ name, examples }) =>
  Object.values(examples).map(({ value }) => `?${name}=${encodeURIComponent(String(value))}`),
)
assert.ok(purges.length >= 4)
for (const query of purges) {
  test(`DELETE /tokens${query}`, async t => {
    const here = await world.broker(t, brokerOptions(world))
    const agent = query.includes('agent=') && { agent: 'helper' }
    assert.equal((await here.requestToken({ tenant: 'contoso', scope: graph, ...agent })).status, 200)
    const authorization = `Bearer ${await world.emulator.mintCallerToken({ sub: 'dashboard' })}`
    const reply = await send(`${here.url}/tokens${query}`, { method: 'DELETE', headers: { authorization } })
    assert.deepEqual(reply.json, { dropped: 1, replicas: 'this' }, reply.text)
    assertDocumented(purge, reply)
  })
}

for (const operation of operations.filter(each => each.method === 'GET' && !isOfOthers(each))) {
  for (const path of pathsOf(operation)) {
    test(`GET ${path}`, async () => {
      const reply = operation.security.length > 0 ? await broker.get(path) : await send(`${broker.url}${path}`)
      assert.equal(reply.status, path === '/readyz' ? 503 : 200, reply.text)
      assertDocumented(operation, reply)
    })
  }
}

test('GET /readyz and GET /health once ready, and after a failure', async t => {
  const here = await world.broker(t, brokerOptions(world))
  await here.service.warmUp()
  const ready = await send(`${here.url}/readyz`)
  assert.equal(ready.status, 200)
  assertDocumented(operationOf('getReadiness'), ready)

  assert.equal((await here.requestToken()).status, 200)
  t.after(() => world.emulator.clearFaults())
  world.emulator.fault({ kind: 'aadsts', at: 'token', code: 700213 })
  world.clock.advance(3000)
  await here.requestToken()
  await until('the refresh fails', () => here.events('token.refresh_failed').length > 0)
  for (const operationId of ['getHealth', 'getCache', 'listCacheEntries', 'listCacheFailures']) {
    const operation = operationOf(operationId)
    const reply = await here.get(operation.path)
    assert.match(reply.text, /"status":"failing"|"at_risk":\d|"last_failure":\{|"level":"application"/)
    assertDocumented(operation, reply)
  }
})

test('a response that is not as documented is detected', async () => {
  const reply = await broker.requestToken()
  assert.equal(reply.status, 200, reply.text)
  const wrong = (change: object, headers = reply.headers) => {
    const json = { ...reply.json, ...change }
    return () => assertDocumented(issueToken, { ...reply, json, text: JSON.stringify(json), headers })
  }
  assert.doesNotThrow(wrong({}))
  assert.throws(wrong({ expires_in: '3599' }), /expires_in/)
  assert.throws(wrong({ token_type: 'bearer' }), /token_type/)
  assert.throws(wrong({ refresh_in: undefined }), /refresh_in/)
  assert.throws(wrong({ undocumented: 1 }), /additional/)
  assert.throws(wrong({}, { ...reply.headers, 'cache-control': 'private' }), /Cache-Control/)
  assert.throws(wrong({}, { ...reply.headers, 'cache-status': undefined }), /Cache-Status/)
  assert.throws(() => assertDocumented(issueToken, { ...reply, status: 418 }), /application\/json/)
})
