import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { describe, test, type TestContext } from 'node:test'
import { graph, sampleCaller, startWorld, type TestBroker, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { startAgent, type TestAgent } from './world.ts'

const world = await startWorld()
const { emulator, clock } = world

/** An agent that holds a token, and its broker, which can end and start again on the same port. */
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
const nobody = {
  rules: [{ name: 'nobody', callers: [{ ...sampleCaller, subject: 'x' }], tenants: ['contoso'], scopes: [graph] }],
}
async function outcome(agent: TestAgent): Promise<unknown> {
  const { status, json } = await agent.identity()
  return status === 200 ? json['access_token'] : status
}

/** A server in the place of the broker that answers everything with one status. */
async function answering(t: TestContext, port: number, status: number) {
  let asked = 0
  const server = createServer((_request, response) => {
    asked++
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
  return { asked: () => asked, close }
}

describe('while the broker is away', () => {
  test('a token is served as long as it lives, and the agent stays ready; then the answer is 503', async t => {
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

  test('it may start again: no request fails, and a token is had as soon as it is there', async t => {
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
    test(`or answers ${status}, because ${why}, a valid token is served`, async t => {
      const { port, broker, agent, token } = await start(t)
      await stop(broker)
      const server = await answering(t, port, status)
      clock.advance(301)
      assert.equal(await outcome(agent), token)
      assert.equal(server.asked(), 1)
    })
})

for (const status of [400, 401, 403])
  test(`a broker that answers ${status} takes the token back, and nothing else is served afterwards`, async t => {
    const { port, broker, agent, token } = await start(t)
    await stop(broker)
    const server = await answering(t, port, status)
    clock.advance(239)
    assert.equal(await outcome(agent), token, 'confirmed a moment ago')
    clock.advance(62)
    assert.equal(await outcome(agent), status)
    assert.match(agent.logText(), /"event":"token\.revoked"/)
    await server.close()
    clock.advance(5)
    assert.equal(await outcome(agent), 503, 'the broker is away, and the token is gone')
  })

test('while the broker hangs, whoever asks often never waits for it', async t => {
  const { port, broker, agent, token } = await start(t)
  await stop(broker)
  let asked = 0
  const server = createServer(() => asked++)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(port, '127.0.0.1', resolve)
  await promise
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  clock.advance(241)
  for (let nth = 0; nth < 5; nth++) assert.equal(await outcome(agent), token)
  await until('the question that hangs', () => asked > 0)
  assert.equal(asked, 1)
})

describe('what the broker takes back', () => {
  test('is handed out no more as soon as the agent hears of it, 300 s after the last answer at the latest', async t => {
    const { broker, begin, agent, token } = await start(t)
    await stop(broker)
    const strict = await begin(nobody)
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

  test('stays away while the broker is away afterwards, and whatever else it refused', async t => {
    const { broker, begin, agent } = await start(t)
    await stop(broker)
    const strict = await begin(nobody)
    clock.advance(301)
    assert.equal(await outcome(agent), 403)
    for (let nth = 0; nth < 1100; nth += 100) {
      const scopes = Array.from({ length: 100 }, (_, i) => `https://x${nth + i}.example/.default`)
      await Promise.all(scopes.map(scope => agent.ask({ scope })))
    }
    await stop(strict)
    clock.advance(5)
    assert.equal(await outcome(agent), 503)
  })

  test('costs it one question in 5 s, however often the workload asks', async t => {
    const { broker, begin, agent } = await start(t)
    await stop(broker)
    const strict = await begin(nobody)
    clock.advance(301)
    for (let nth = 0; nth < 20; nth++) assert.equal(await outcome(agent), 403)
    assert.equal(strict.events('token.denied').length, 1)
    clock.advance(5)
    assert.equal(await outcome(agent), 403)
    assert.equal(strict.events('token.denied').length, 2)
  })

  test('is heard of in the background by those who ask often, so that they never wait', async t => {
    const { broker, begin, agent, token } = await start(t)
    await stop(broker)
    await begin(nobody)
    clock.advance(241)
    assert.equal(await outcome(agent), token)
    await until('the agent hears of it', async () => (await outcome(agent)) === 403)
  })

  test('--revalidate moves that moment', async t => {
    const { broker, begin, agent, token } = await start(t, ['--revalidate', '10'])
    await stop(broker)
    await begin(nobody)
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

  test('that has expired takes every token away: 401', async t => {
    const { agent } = await start(t)
    await writeFile(agent.tokenFile, await emulator.mintCallerToken({}, { expiresIn: -3600 }))
    clock.advance(301)
    assert.equal(await outcome(agent), 401)
  })
})
