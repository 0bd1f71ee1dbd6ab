import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { burst } from '../../../src/broker/authentication/failed-credential-limiter.ts'
import { graph, type Reply, sampleCaller, startWorld } from '../../support/broker.ts'
import {
  endpointRows,
  errorIn,
  exchangeRow,
  expectedError,
  type TokenEndpoints,
  tokenEndpointsOf,
} from '../../support/token-endpoints.ts'

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

describe('many bad credentials from one address', () => {
  type Headers = Readonly<Record<string, string>>
  const rows = [
    ...endpointRows.map(({ endpoint, send }) => ({
      what: endpoint.name,
      send,
      ...expectedError(endpoint, 'rate_limited', { retryAfter: 2 }),
    })),
    { what: 'token exchange', send: exchangeRow, error: '429 temporarily_unavailable', retryAfter: '2' },
  ]

  /** First as many bad credentials as are not delayed, spread over every endpoint; then more at once than may wait. */
  async function flood(endpoints: TokenEndpoints, headers: (nth: number) => Headers) {
    for (let nth = 0; nth < Math.floor(burst / rows.length); nth++)
      await Promise.all(
        rows.map(({ what, send }) => send(endpoints, { credential: `bad-${nth}-${what}`, headers: headers(nth) })),
      )
    const rounds = Array.from({ length: 15 }, (_, nth) =>
      rows.map(
        async ({ what, send }) =>
          [what, await send(endpoints, { credential: `worse-${nth}-${what}`, headers: headers(nth) })] as const,
      ),
    )
    return Map.groupBy(await Promise.all(rounds.flat()), ([what]) => what)
  }
  /** A good credential that the broker has not seen yet. */
  const newToken = () => emulator.mintCallerToken({ jti: crypto.randomUUID() })

  test('are counted together and refused at every token endpoint; other addresses behind the proxy are not limited', async t => {
    const broker = await world.broker(t, { environment: { BROKER_TRUSTED_PROXIES: '127.0.0.1' } })
    const endpoints = await tokenEndpointsOf(world, broker)
    const [theirs, ours] = ['192.0.2.66', '192.0.2.7'].map(address => ({ 'x-forwarded-for': address }))
    assert.equal(
      (await endpoints.oauth({}, theirs)).status,
      200,
      'a good caller at that address, remembered from now on',
    )
    const replies = await flood(endpoints, () => theirs ?? {})
    for (const { what, send, error, retryAfter } of rows) {
      const limited = replies.get(what)?.find(([, { status }]) => status === 429)?.[1]
      assert.ok(limited, `${what} refused none`)
      assert.deepEqual([errorIn(limited), limited.headers['retry-after']], [error, retryAfter])
      const elsewhere = await send(endpoints, { credential: await newToken(), headers: ours ?? {} })
      assert.equal(elsewhere.status, 200, `${what} from elsewhere`)
    }
    assert.equal((await endpoints.oauth({}, theirs)).status, 200, 'a remembered caller is not limited')
    const addresses = new Set(broker.events('caller.refused').map(line => line['address']))
    assert.deepEqual(addresses, new Set(['192.0.2.66']))
  })

  test('are counted for one address, whatever a peer that is not a trusted proxy reports', async t => {
    const endpoints = await tokenEndpointsOf(world, await world.broker(t))
    const replies = await flood(endpoints, nth => ({ 'x-forwarded-for': `192.0.2.${nth}` }))
    assert.ok([...replies.values()].flat().some(([, { status }]) => status === 429))
  })
})
