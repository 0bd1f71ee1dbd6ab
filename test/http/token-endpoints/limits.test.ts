import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { graph, type Reply, sampleCaller, startWorld } from '../../support/broker.ts'
import { endpointRows, errorIn, exchangeRow, expectedError, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** Limits of callers at every token endpoint: counted together, and reported in each protocol. */

const world = await startWorld()
const { emulator } = world
const rule = { name: 'a', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] }

const rateLimit = ({ headers }: Reply) => [headers['ratelimit-policy'], headers['ratelimit']]

describe('a limit of requests is reported in every response, and exceeding it is 429 with Retry-After', () => {
  for (const { endpoint, send } of endpointRows)
    test(endpoint.name, async t => {
      const { error, retryAfter } = expectedError(endpoint, 'rate_limited', { retryAfter: 30 })
      const broker = await world.broker(t, { policy: { rules: [{ ...rule, requestLimit: '2/m' }] } })
      const endpoints = await tokenEndpointsOf(world, broker)
      for (const left of ['r=1;t=30', 'r=0;t=30']) {
        const reply = await send(endpoints)
        assert.deepEqual([reply.status, ...rateLimit(reply)], [200, '"requests";q=2;w=60', `"requests";${left}`])
      }
      const reply = await send(endpoints)
      assert.deepEqual([errorIn(reply), reply.headers['retry-after']], [error, retryAfter])
      assert.deepEqual(rateLimit(reply), ['"requests";q=2;w=60', '"requests";r=0;t=30'])
      assert.partialDeepStrictEqual(broker.events('token.failed').at(-1), { outcome: 'rate_limited' })
    })

  test('a caller has one limit, whichever endpoint it uses', async t => {
    const requestLimit = `${endpointRows.length}/m`
    const broker = await world.broker(t, { policy: { rules: [{ ...rule, requestLimit }] } })
    const endpoints = await tokenEndpointsOf(world, broker)
    for (const { send } of endpointRows) assert.equal((await send(endpoints)).status, 200)
    for (const { send } of endpointRows) assert.equal((await send(endpoints)).status, 429)
  })
})

describe('a limit of exchanges refuses requests that need an exchange, and none for a cached token', () => {
  for (const { endpoint, send } of endpointRows)
    test(endpoint.name, async t => {
      const { error, retryAfter } = expectedError(endpoint, 'rate_limited', { retryAfter: 30 })
      const broker = await world.broker(t, { policy: { rules: [{ ...rule, exchangeLimit: '2/m' }] } })
      const endpoints = await tokenEndpointsOf(world, broker)
      for (const tenant of ['contoso', 'fabrikam']) assert.equal((await send(endpoints, { tenant })).status, 200)
      emulator.resetCounts()
      const reply = await send(endpoints, { tenant: 'tailspin' })
      assert.deepEqual([errorIn(reply), reply.headers['retry-after']], [error, retryAfter])
      assert.deepEqual(rateLimit(reply), ['"exchanges";q=2;w=60', '"exchanges";r=0;t=30'])
      assert.equal(emulator.counts().endpoints.token.total, 0)
      assert.equal((await send(endpoints)).status, 200)
    })
})

describe('bad credentials do not lock out their address', () => {
  const rows = [
    ...endpointRows.map(({ endpoint, send }) => ({ what: endpoint.name, send })),
    { what: 'token exchange', send: exchangeRow },
  ]

  test('at every token endpoint, 40 connections with bad credentials refuse no good new token of the same address', async t => {
    const broker = await world.broker(t)
    const endpoints = await tokenEndpointsOf(world, broker)
    const valid = await emulator.mintCallerToken()
    const forged = `${valid.slice(0, -8)}AAAAAAAA`
    const flood = { isOver: false }
    const statuses = new Set<number>()
    const attack = async (_: unknown, nth: number) => {
      const send = rows[nth % rows.length]?.send ?? exchangeRow
      for (let turn = 0; !flood.isOver; turn++)
        statuses.add((await send(endpoints, { credential: turn % 2 === 0 ? forged : `bad-${nth}-${turn}` })).status)
    }
    const attackers = Array.from({ length: 40 }, attack)
    try {
      for (let round = 0; round < 3; round++) {
        const replies = await Promise.all(
          rows.map(async ({ send }) =>
            send(endpoints, { credential: await emulator.mintCallerToken({ jti: crypto.randomUUID() }) }),
          ),
        )
        assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
      }
    } finally {
      flood.isOver = true
    }
    await Promise.all(attackers)
    assert.ok(!statuses.has(200) && !statuses.has(429), [...statuses].join())
  })
})
