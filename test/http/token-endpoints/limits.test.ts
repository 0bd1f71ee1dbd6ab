import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { graph, type Reply, sampleCaller, startWorld } from '../../support/broker.ts'
import { type Ways, waysInto } from '../../support/dialects.ts'

/** What limits callers, at every way in: counted alike, and told in each protocol's words. */

const world = await startWorld()
const { emulator } = world
const rule = { name: 'a', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] }

const bearerOf = ({ token }: Ways) => ({ authorization: `Bearer ${token}` })
const asked: readonly (readonly [
  endpoint: string,
  ask: (ways: Ways, tenant: string) => Promise<Reply>,
  told: string,
  retryAfter: string,
])[] = [
  ['tokens', (ways, tenant) => ways.tokens({ tenant }, bearerOf(ways)), '429 rate_limited', '30'],
  ['oauth', (ways, tenant) => ways.oauth({ tenant }), '429 temporarily_unavailable', '30'],
  // Azure SDKs wait inside the call, for as long as they are told.
  ['entra', (ways, tenant) => ways.entra({}, tenant), '429 temporarily_unavailable', '2'],
  ['identity', (ways, tenant) => ways.identity({}, tenant), '429 rate_limited', '2'],
]
const told = ({ status, json }: Reply): string => `${status} ${String(json['error'] ?? json['code'])}`
const rateLimit = ({ headers }: Reply) => [headers['ratelimit-policy'], headers['ratelimit']]

describe('a limit of requests is told on every answer, and ends in 429 with Retry-After', () => {
  for (const [endpoint, ask, refused, retryAfter] of asked)
    test(endpoint, async t => {
      const broker = await world.broker(t, { policy: { rules: [{ ...rule, requestLimit: '2/m' }] } })
      const ways = await waysInto(world, broker)
      for (const left of ['r=1;t=30', 'r=0;t=30']) {
        const reply = await ask(ways, 'contoso')
        assert.deepEqual([reply.status, ...rateLimit(reply)], [200, '"requests";q=2;w=60', `"requests";${left}`])
      }
      const reply = await ask(ways, 'contoso')
      assert.deepEqual([told(reply), reply.headers['retry-after']], [refused, retryAfter])
      assert.deepEqual(rateLimit(reply), ['"requests";q=2;w=60', '"requests";r=0;t=30'])
      assert.partialDeepStrictEqual(broker.events('token.failed').at(-1), { outcome: 'rate_limited' })
    })

  test('a caller is one caller, whichever way it comes', async t => {
    const broker = await world.broker(t, { policy: { rules: [{ ...rule, requestLimit: '4/m' }] } })
    const ways = await waysInto(world, broker)
    for (const [, ask] of asked) assert.equal((await ask(ways, 'contoso')).status, 200)
    for (const [, ask] of asked) assert.equal((await ask(ways, 'contoso')).status, 429)
  })
})

describe('a limit of exchanges refuses what would cost one more, and nothing that is at hand', () => {
  for (const [endpoint, ask, refused, retryAfter] of asked)
    test(endpoint, async t => {
      const broker = await world.broker(t, { policy: { rules: [{ ...rule, exchangeLimit: '2/m' }] } })
      const ways = await waysInto(world, broker)
      for (const tenant of ['contoso', 'fabrikam']) assert.equal((await ask(ways, tenant)).status, 200)
      emulator.resetCounts()
      const reply = await ask(ways, 'tailspin')
      assert.deepEqual([told(reply), reply.headers['retry-after']], [refused, retryAfter])
      assert.deepEqual(rateLimit(reply), ['"exchanges";q=2;w=60', '"exchanges";r=0;t=30'])
      assert.equal(emulator.counts().endpoints.token.total, 0)
      assert.equal((await ask(ways, 'contoso')).status, 200)
    })
})

describe('many bad credentials from one address', () => {
  type Headers = Readonly<Record<string, string>>
  const bad: readonly (readonly [
    endpoint: string,
    ask: (ways: Ways, credential: string, headers: Headers) => Promise<Reply>,
    refused: string,
  ])[] = [
    [
      'tokens',
      (ways, credential, headers) => ways.tokens({}, { ...headers, authorization: `Bearer ${credential}` }),
      '429 rate_limited',
    ],
    [
      'oauth',
      (ways, credential, headers) => ways.oauth({ client_assertion: credential }, headers),
      '429 temporarily_unavailable',
    ],
    [
      'exchange',
      (ways, credential, headers) => ways.exchange({ subject_token: credential }, headers),
      '429 temporarily_unavailable',
    ],
    [
      'entra',
      (ways, credential, headers) => ways.entra({ client_assertion: credential }, 'contoso', headers),
      '429 temporarily_unavailable',
    ],
    [
      'identity',
      (ways, credential, headers) => ways.identity({}, 'contoso', { ...headers, 'x-identity-header': credential }),
      '429 rate_limited',
    ],
  ]

  /** A hundred bad credentials from an address, spread over every way in; then more than may wait, all at once. */
  async function flood(ways: Ways, headers: (nth: number) => Headers) {
    for (let nth = 0; nth < 20; nth++)
      await Promise.all(bad.map(([, ask], at) => ask(ways, `bad-${nth}-${at}`, headers(nth))))
    const rounds = Array.from({ length: 15 }, (_, nth) =>
      bad.map(async ([endpoint, ask], at) => [endpoint, await ask(ways, `worse-${nth}-${at}`, headers(nth))] as const),
    )
    return Map.groupBy(await Promise.all(rounds.flat()), ([endpoint]) => endpoint)
  }
  /** A good credential that the broker has not seen yet. */
  const newToken = () => emulator.mintCallerToken({ jti: crypto.randomUUID() })

  test('are counted together and refused at every way in; other addresses behind the proxy are none the worse', async t => {
    const broker = await world.broker(t, { environment: { BROKER_TRUSTED_PROXIES: '127.0.0.1' } })
    const ways = await waysInto(world, broker)
    const [theirs, ours] = ['192.0.2.66', '192.0.2.7'].map(address => ({ 'x-forwarded-for': address }))
    assert.equal((await ways.oauth({}, theirs)).status, 200, 'a good caller at that address, remembered from now on')
    const replies = await flood(ways, () => theirs ?? {})
    for (const [endpoint, ask, refused] of bad) {
      const limited = replies.get(endpoint)?.find(([, { status }]) => status === 429)?.[1]
      assert.ok(limited, `${endpoint} refused none`)
      assert.deepEqual([told(limited), limited.headers['retry-after']], [refused, '2'])
      assert.equal((await ask(ways, await newToken(), ours ?? {})).status, 200, `${endpoint} from elsewhere`)
    }
    assert.equal((await ways.oauth({}, theirs)).status, 200, 'who is remembered is not asked about')
    const addresses = new Set(broker.events('caller.refused').map(line => line['address']))
    assert.deepEqual(addresses, new Set(['192.0.2.66']))
  })

  test('are not told apart by what somebody who is no proxy says of his address', async t => {
    const ways = await waysInto(world, await world.broker(t))
    const replies = await flood(ways, nth => ({ 'x-forwarded-for': `192.0.2.${nth}` }))
    assert.ok([...replies.values()].flat().some(([, { status }]) => status === 429))
  })
})
