import assert from 'node:assert/strict'
import { type TestContext, describe, test } from 'node:test'
import { burst, longestWaitSeconds, perSecond } from '../../../src/broker/authentication/failed-credential-limiter.ts'
import { graph, send, startWorld, type TestBroker } from '../../support/broker.ts'

const world = await startWorld()
const { emulator } = world
const start = (t: TestContext, proxies: string) =>
  world.broker(t, { environment: { BROKER_TRUSTED_PROXIES: proxies, LOG_LEVEL: 'fatal' } })

/** Sends a request with a credential through a proxy that reports where it comes from. */
const requestToken = (broker: TestBroker, token: string, from: string) =>
  send(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-forwarded-for': from },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
  })
const bad = async (broker: TestBroker, count: number, from: (nth: number) => string) =>
  Promise.all(
    Array.from({ length: count }, async (_, nth) => (await requestToken(broker, `bad-${nth}`, from(nth))).status),
  )
/** As many as may wait, and a few more. */
const more = longestWaitSeconds * perSecond + 5

describe('an address that sends hundreds of bad credentials', () => {
  test('is the one that the trusted proxy reports; callers at other addresses, and remembered callers, are not limited', async t => {
    const broker = await start(t, '127.0.0.1')
    const remembered = await emulator.mintCallerToken({ jti: 'remembered' })
    assert.equal((await requestToken(broker, remembered, '192.0.2.7')).status, 200)
    // What an attacker writes into the header comes before what the proxy adds.
    const attacker = (nth: number) => `198.51.100.${nth}, 192.0.2.7`
    assert.deepEqual(new Set(await bad(broker, burst, attacker)), new Set([401]))

    const flood = bad(broker, more, attacker)
    const late = await emulator.mintCallerToken({ jti: 'late' })
    const elsewhere = await emulator.mintCallerToken({ jti: 'elsewhere' })
    assert.equal((await requestToken(broker, elsewhere, '192.0.2.8')).status, 200)
    assert.equal((await requestToken(broker, remembered, '192.0.2.7')).status, 200)
    const refused = await requestToken(broker, late, '192.0.2.7')
    assert.deepEqual([refused.status, refused.json['code'], refused.headers['retry-after']], [429, 'rate_limited', '2'])
    assert.equal((await flood).filter(status => status === 429).length, 5)
    assert.ok(broker.events('caller.refused').some(line => line['reason'] === 'bad_credentials'))
  })

  test('cannot pretend to be many: without a trusted proxy the header is ignored', async t => {
    const broker = await start(t, '10.0.0.0/8')
    const other = (nth: number) => `198.51.100.${nth}`
    await bad(broker, burst, other)
    assert.equal((await bad(broker, more, other)).filter(status => status === 429).length, 5)
  })
})
