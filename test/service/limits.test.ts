import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, sampleCaller, startWorld } from '../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const rule = { name: 'a', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] }
const start = (limits: object) => world.broker({ after }, { policy: { rules: [{ ...rule, ...limits }] } })
const token = await emulator.mintCallerToken({}, { expiresIn: 36_000 })

describe('requestLimit', async () => {
  const broker = await start({ requestLimit: '3/m' })
  const request = () => broker.requestToken(undefined, { token })

  test('is in every response; the request beyond it is 429 rate_limited with Retry-After', async () => {
    const replies = [await request(), await request(), await request(), await request()]
    assert.deepEqual(
      replies.map(({ status, headers }) => [status, headers['ratelimit-policy'], headers['ratelimit']]),
      [
        [200, '"requests";q=3;w=60', '"requests";r=2;t=20'],
        [200, '"requests";q=3;w=60', '"requests";r=1;t=40'],
        [200, '"requests";q=3;w=60', '"requests";r=0;t=20'],
        [429, '"requests";q=3;w=60', '"requests";r=0;t=20'],
      ],
    )
    const { json, headers } = replies[3] ?? assert.fail()
    assert.deepEqual([json['code'], json['retry_after'], headers['retry-after']], ['rate_limited', 20, '20'])
    clock.advance(20)
    assert.equal((await request()).status, 200)
  })

  test('is a line of the audit trail, with the rule, which the response does not name', async () => {
    await request()
    const line = broker.events('token.failed').at(-1)
    assert.partialDeepStrictEqual(line, { outcome: 'rate_limited', reason: 'requests', rule: 'a', level: 'warn' })
  })

  test('does not count what the policy refuses, nor what is malformed', async () => {
    clock.advance(60)
    for (let nth = 0; nth < 5; nth++) {
      assert.equal((await broker.requestToken({ tenant: 'nowhere', scope: graph }, { token })).status, 403)
      assert.equal((await broker.requestToken('{', { token })).status, 400)
    }
    assert.equal((await request()).status, 200)
  })
})

describe('exchangeLimit', async () => {
  const broker = await start({ exchangeLimit: '2/m' })
  const request = (tenant: string) => broker.requestToken({ tenant, scope: graph }, { token })

  test('counts exchanges, not requests: cached tokens are not limited', async () => {
    for (let nth = 0; nth < 5; nth++) assert.equal((await request('contoso')).status, 200)
    assert.equal((await request('fabrikam')).status, 200)
    emulator.resetCounts()
    const { status, json, headers } = await request('tailspin')
    assert.deepEqual([status, json['code'], headers['ratelimit-policy']], [429, 'rate_limited', '"exchanges";q=2;w=60'])
    assert.equal(emulator.counts().endpoints.token.total, 0)
    assert.equal((await request('contoso')).status, 200)
  })

  test('never costs a caller a valid token: a refresh that it does not allow is skipped', async () => {
    clock.advance(2700)
    for (const tenant of ['contoso', 'fabrikam', 'contoso', 'fabrikam'])
      assert.equal((await request(tenant)).status, 200)
  })
})

test('without limits no response has their headers', async t => {
  const broker = await world.broker(t, { policy: { rules: [rule] } })
  const { headers } = await broker.requestToken(undefined, { token })
  assert.ok(!('ratelimit' in headers) && !('ratelimit-policy' in headers))
})
