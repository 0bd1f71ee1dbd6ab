import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { describe, test, type TestContext } from 'node:test'
import { graph, sampleCaller, startWorld, type TestBroker, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { startAgent, type TestAgent } from './world.ts'
import { runs } from '../support/runs.ts'

const world = await startWorld()
const { emulator, clock } = world

/** An agent with a cached token, and its broker, which can end and start again on the same port. */
async function start(t: TestContext, flags: readonly string[] = []) {
  const port = await freePort()
  const begin = (policy = {}) => world.broker(t, { policy, environment: { PORT: String(port) } })
  const broker = await begin()
  const agent = await startAgent(t, world, broker, flags)
  const first = await agent.identity()
  assert.equal(first.status, 200, first.text)
  return { port, begin, broker, agent, token: first.json['access_token'] }
}

const stop = ({ service }: TestBroker) => service.close()
const noCaller = {
  rules: [{ name: 'no caller', callers: [{ ...sampleCaller, subject: 'x' }], tenants: ['contoso'], scopes: [graph] }],
}
async function outcome(agent: TestAgent): Promise<unknown> {
  const { status, json } = await agent.identity()
  return status === 200 ? json['access_token'] : status
}

/** A server in the place of the broker that responds with one status to every request. */
async function respondingServer(t: TestContext, port: number, status: number) {
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    response.writeHead(status).end('<html>')
  })
  const listening = Promise.withResolvers<void>()
  server.listen(port, '127.0.0.1', listening.resolve)
  await listening.promise
  const close = async (): Promise<void> => {
    const closed = Promise.withResolvers<void>()
    server.close(() => closed.resolve())
    await closed.promise
  }
  t.after(close)
  return { requests: () => requests, close }
}

describe('while the broker is unavailable', () => {
  test('a token is served as long as it lives, and the agent stays ready; then the response is 503', async t => {
    const { broker, agent, token } = await start(t)
    await agent.service.warmUp()
    await stop(broker)
    for (let minutes = 6; minutes < 59; minutes += 6) {
      clock.advance(360)
      assert.equal(await outcome(agent), token, `after ${minutes} min`)
    }
    assert.equal((await agent.send('/readyz')).status, 200)
    clock.advance(360)
    const { status, headers, json } = await agent.identity()
    assert.deepEqual([status, headers['retry-after'], json['error']], [503, '1', 'upstream_unavailable'])
  })

  test('it may restart: no request fails, and the agent gets a new token as soon as the broker is back', async t => {
    const { broker, begin, agent, token } = await start(t)
    await stop(broker)
    clock.advance(301)
    assert.equal(await outcome(agent), token)
    await begin()
    await writeFile(agent.tokenFile, await emulator.mintCallerToken({}, { expiresIn: 86_400 }))
    clock.advance(3600)
    const fresh = await outcome(agent)
    assert.equal(typeof fresh, 'string')
    assert.notEqual(fresh, token)
  })

  for (const [status, why] of [
    [500, 'it fails'],
    [502, 'a proxy is there in its place'],
    [503, 'it is overloaded'],
    [429, 'it limits the workload'],
    [404, 'another server has its name'],
  ] as const)
    test(`or responds ${status}, because ${why}, a valid token is served`, async t => {
      const { port, broker, agent, token } = await start(t)
      await stop(broker)
      const server = await respondingServer(t, port, status)
      clock.advance(301)
      assert.equal(await outcome(agent), token)
      assert.equal(server.requests(), 1)
    })
})

for (const status of [400, 401, 403])
  test(`a broker that responds ${status} revokes the token, and nothing else is served afterwards`, async t => {
    const { port, broker, agent, token } = await start(t)
    await stop(broker)
    const server = await respondingServer(t, port, status)
    clock.advance(239)
    assert.equal(await outcome(agent), token, 'confirmed a moment ago')
    clock.advance(62)
    assert.equal(await outcome(agent), status)
    assert.match(agent.logText(), /"event":"token\.revoked"/)
    await server.close()
    clock.advance(5)
    assert.equal(await outcome(agent), 503, 'the broker is unavailable, and the token is gone')
  })

test('while the broker hangs, frequent requests never wait for it', async t => {
  const { port, broker, agent, token } = await start(t)
  await stop(broker)
  let requests = 0
  const server = createServer(() => requests++)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(port, '127.0.0.1', resolve)
  await promise
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  clock.advance(241)
  for (let nth = 0; nth < 5; nth++) assert.equal(await outcome(agent), token)
  await until('the request that hangs', () => requests > 0)
  assert.equal(requests, 1)
})

describe('a token that the broker revokes', () => {
  test('is not issued any more as soon as the broker refuses it, 300 s after the last response at the latest', async t => {
    const { broker, begin, agent, token } = await start(t)
    await stop(broker)
    const strict = await begin(noCaller)
    clock.advance(239)
    assert.equal(await outcome(agent), token, 'confirmed a moment ago')
    clock.advance(62)
    assert.equal(await outcome(agent), 403)
    assert.equal(strict.events('token.denied').length, 1)
    assert.match(agent.logText(), /"event":"token\.revoked"/)
    await stop(strict)
    await begin()
    clock.advance(5)
    assert.equal(typeof (await outcome(agent)), 'string', 'granted again')
  })

  test('stays revoked while the broker is unavailable afterwards, and after many other refusals', async t => {
    const { broker, begin, agent } = await start(t)
    await stop(broker)
    const strict = await begin(noCaller)
    clock.advance(301)
    assert.equal(await outcome(agent), 403)
    // More than the agent remembers, in CI; the unit test of the revalidating cache always has as many.
    for (let nth = 0; nth < runs(1100); nth += 100) {
      const scopes = Array.from({ length: 100 }, (_, i) => `https://x${nth + i}.example/.default`)
      await Promise.all(scopes.map(scope => agent.requestToken({ scope })))
    }
    await stop(strict)
    clock.advance(5)
    assert.equal(await outcome(agent), 503)
  })

  test('costs the broker one request in 5 s, with any number of requests of the workload', async t => {
    const { broker, begin, agent } = await start(t)
    await stop(broker)
    const strict = await begin(noCaller)
    clock.advance(301)
    for (let nth = 0; nth < 20; nth++) assert.equal(await outcome(agent), 403)
    assert.equal(strict.events('token.denied').length, 1)
    clock.advance(5)
    assert.equal(await outcome(agent), 403)
    assert.equal(strict.events('token.denied').length, 2)
  })

  test('is found in the background with frequent requests, so that they never wait', async t => {
    const { broker, begin, agent, token } = await start(t)
    await stop(broker)
    await begin(noCaller)
    clock.advance(241)
    assert.equal(await outcome(agent), token)
    await until('the agent drops the token', async () => (await outcome(agent)) === 403)
  })

  test('--revalidate moves that moment', async t => {
    const { broker, begin, agent, token } = await start(t, ['--revalidate', '10'])
    await stop(broker)
    await begin(noCaller)
    clock.advance(7)
    assert.equal(await outcome(agent), token)
    clock.advance(4)
    assert.equal(await outcome(agent), 403)
  })
})

describe("the workload's credential", () => {
  test('may rotate: the file is read for every request to the broker', async t => {
    const { broker, agent } = await start(t)
    await writeFile(agent.tokenFile, await emulator.mintCallerToken({ jti: 'the-next' }, { expiresIn: 86_400 }))
    clock.advance(3600)
    assert.equal(typeof (await outcome(agent)), 'string')
    assert.equal(broker.events('caller.refused').length, 0)
  })

  test('may be gone for a while: a valid token is served, then 503', async t => {
    const { agent, token } = await start(t)
    await rm(agent.tokenFile)
    clock.advance(301)
    assert.equal(await outcome(agent), token)
    clock.advance(3600)
    assert.equal(await outcome(agent), 503)
  })

  test('that has expired revokes every token: 401', async t => {
    const { agent } = await start(t)
    await writeFile(agent.tokenFile, await emulator.mintCallerToken({}, { expiresIn: -3600 }))
    clock.advance(301)
    assert.equal(await outcome(agent), 401)
  })
})
