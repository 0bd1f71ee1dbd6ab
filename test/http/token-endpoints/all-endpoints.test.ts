import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, type Reply, sampleCaller, startWorld, until } from '../../support/broker.ts'
import { type Fields, type Ways, waysInto } from '../../support/dialects.ts'

/** What every way in has in common, whatever its words: the cache, the order of refusals, what is counted and told. */

const world = await startWorld()
const { emulator, clock } = world
const broker = await world.broker({ after })
const ways = await waysInto(world, broker)

interface Way {
  readonly endpoint: string
  readonly ask: (changes?: Fields, tenant?: string, ways?: Ways) => Promise<Reply>
  /** A request that is wrong in its form besides. */
  readonly malformed: (credential: string | undefined) => Promise<Reply>
}
const bearer = (credential: string | undefined) =>
  credential === undefined ? {} : { authorization: `Bearer ${credential}` }
const waysIn: readonly Way[] = [
  {
    endpoint: 'tokens',
    ask: (changes, tenant = 'contoso', by = ways) => by.tokens({ tenant, ...changes }),
    malformed: credential => ways.tokens({ tenant: '..', foo: 'x' }, bearer(credential)),
  },
  {
    endpoint: 'oauth_token',
    ask: (changes, tenant = 'contoso', by = ways) => by.oauth({ tenant, ...changes }),
    malformed: credential => ways.oauth({ tenant: '..', client_assertion: credential }),
  },
  {
    endpoint: 'entra_token',
    ask: (changes, tenant, by = ways) => by.entra(changes, tenant),
    malformed: credential => ways.entra({ client_id: 'x', client_assertion: credential }, '..'),
  },
  {
    endpoint: 'identity',
    ask: ({ scope, ...changes } = {}, tenant, by = ways) =>
      by.identity({ ...changes, ...(scope !== undefined && { resource: scope }) }, tenant),
    malformed: credential =>
      ways.identity({ resource: undefined }, '..', credential === undefined ? {} : { 'x-identity-header': credential }),
  },
]

const tokenIn = ({ json }: Reply) => json['access_token']
const metric = async (endpoint: string, outcome: string): Promise<number> => {
  const { text } = await broker.get('/metrics')
  const line = new RegExp(`token_broker_requests_total\\{endpoint="${endpoint}",outcome="${outcome}"\\} (\\d+)`)
  return Number(line.exec(text)?.[1] ?? 0)
}
/** An answer without what differs from one request to the next. */
const lasting = ({ status, headers, text }: Reply, id: unknown): readonly unknown[] => [
  status,
  { ...headers, date: undefined },
  text.replaceAll(String(id), 'ID').replace(/"timestamp":"[^"]+"/, ''),
]
const idOf = ({ json }: Reply): unknown => json['request_id'] ?? json['correlationId'] ?? json['trace_id']

for (const { endpoint, ask, malformed } of waysIn)
  describe(endpoint, () => {
    test('hands out the token that the others do, from the same cache, not to be stored', async () => {
      const first = await ways.tokens()
      const reply = await ask()
      assert.equal(reply.status, 200, reply.text)
      assert.equal(tokenIn(reply), tokenIn(first))
      const { 'cache-control': control, pragma, 'cache-status': status } = reply.headers
      assert.deepEqual([control, pragma], ['no-store', 'no-cache'])
      assert.match(String(status), /^token-broker; hit; ttl=\d+$/)
    })

    test('is a line of the audit trail and counted, under its own name', async () => {
      const before = await metric(endpoint, 'issued')
      await ask()
      assert.equal(await metric(endpoint, 'issued'), before + 1)
      assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], endpoint)
    })

    test('asks who it is before it looks at the form, and at the form before the policy', async () => {
      for (const credential of [undefined, 'nonsense'])
        assert.equal((await malformed(credential)).status, 401, `${credential}`)
      assert.equal((await malformed(ways.token)).status, 400)
    })

    test('answers an unknown tenant byte for byte like one that is forbidden', async () => {
      const rules = [{ name: 'a', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] }]
      const own = await waysInto(world, await world.broker({ after }, { policy: { rules } }))
      const [forbidden, ...unknown] = await Promise.all(
        ['fabrikam', 'unknown', 'ab000000-0000-4000-8000-0000000000cd'].map(tenant => ask({}, tenant, own)),
      )
      assert.ok(forbidden && [400, 403].includes(forbidden.status))
      for (const reply of unknown) assert.deepEqual(lasting(reply, idOf(reply)), lasting(forbidden, idOf(forbidden)))
    })

    test('is 503 with Retry-After while the keys of the issuer were never had', async t => {
      const here = await world.broker(t)
      emulator.fault({ kind: 'server-error', at: 'callers' })
      t.after(() => emulator.clearFaults())
      const { status, headers } = await ask({}, 'contoso', await waysInto(world, here))
      assert.equal(status, 503)
      assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    })

    test('is 500 after a bug, of which it says nothing', async t => {
      const here = await world.broker(t)
      const own = await waysInto(world, here)
      const { monotonic } = clock
      clock.monotonic = () => {
        throw new Error('the bug itself')
      }
      const reply = await ask({}, 'contoso', own).finally(() => (clock.monotonic = monotonic))
      assert.equal(reply.status, 500, reply.text)
      assert.ok(!reply.text.includes('the bug itself') && !reply.text.includes(' at '), reply.text)
      assert.match(here.logText(), /the bug itself/)
    })
  })

// Last, since it moves the time in which the credentials above are good.
describe('says where the token came from: also when it is due, and when its refresh failed', () => {
  for (const { endpoint, ask } of waysIn)
    test(endpoint, async t => {
      const here = await world.broker(t)
      const from = async () => (await ask({}, 'contoso', await waysInto(world, here))).headers['cache-status']
      assert.equal(await from(), 'token-broker; fwd=miss')
      clock.advance(2700)
      emulator.fault({ kind: 'server-error', at: 'token' })
      t.after(() => emulator.clearFaults())
      assert.match(String(await from()), /^token-broker; hit; ttl=\d+; detail=due$/)
      await until('the refresh has failed', async () => String(await from()).endsWith('; detail=refresh-failed'))
    })
})
