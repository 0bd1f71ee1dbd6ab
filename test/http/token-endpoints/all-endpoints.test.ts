import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, type Reply, sampleCaller, startWorld, until } from '../../support/broker.ts'
import { endpointRows, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** What all token endpoints have in common: the cache, the order of the checks, metrics and audit. */

const world = await startWorld()
const { emulator, clock } = world
const broker = await world.broker({ after })
const endpoints = await tokenEndpointsOf(world, broker)

const tokenIn = ({ json }: Reply) => json['access_token']
const metric = async (endpoint: string, outcome: string): Promise<number> => {
  const { text } = await broker.get('/metrics')
  const line = new RegExp(`token_broker_requests_total\\{endpoint="${endpoint}",outcome="${outcome}"\\} (\\d+)`)
  return Number(line.exec(text)?.[1] ?? 0)
}
/** A response without the parts that differ from request to request, and without the tenant that the caller sent. */
const lasting = ({ status, headers, text }: Reply, id: unknown, tenant: string): readonly unknown[] => [
  status,
  { ...headers, date: undefined, 'content-length': undefined },
  text
    .replaceAll(String(id), 'ID')
    .replace(/"timestamp":"[^"]+"/, '')
    .replaceAll(tenant, 'TENANT'),
]
const idOf = ({ json }: Reply): unknown => json['request_id'] ?? json['correlationId'] ?? json['trace_id']

for (const { endpoint, send, malformed } of endpointRows)
  describe(endpoint.name, () => {
    test('issues the same token as the other endpoints, from the same cache, with no-store', async () => {
      const first = await endpoints.tokens()
      const reply = await send(endpoints)
      assert.equal(reply.status, 200, reply.text)
      assert.equal(tokenIn(reply), tokenIn(first))
      const { 'cache-control': control, pragma, 'cache-status': status } = reply.headers
      assert.deepEqual([control, pragma], ['no-store', 'no-cache'])
      assert.match(String(status), /^token-broker; hit; ttl=\d+$/)
    })

    test('writes an audit line and counts, under its own name', async () => {
      const before = await metric(endpoint.name, 'issued')
      await send(endpoints)
      assert.equal(await metric(endpoint.name, 'issued'), before + 1)
      assert.equal(broker.events('token.issued').at(-1)?.['endpoint'], endpoint.name)
    })

    test('authenticates before it checks the form, and checks the form before the policy', async () => {
      const bad = { tenant: '..', fields: malformed }
      for (const credential of [null, 'nonsense'])
        assert.equal((await send(endpoints, { ...bad, credential })).status, 401, `${credential}`)
      assert.equal((await send(endpoints, bad)).status, 400)
    })

    test('responds to an unknown tenant as to a forbidden one: only the value that the caller sent differs', async () => {
      const rules = [{ name: 'a', callers: [sampleCaller], tenants: ['contoso'], scopes: [graph] }]
      const own = await tokenEndpointsOf(world, await world.broker({ after }, { policy: { rules } }))
      const [forbidden, ...unknown] = await Promise.all(
        ['fabrikam', 'unknown', 'AB000000-0000-4000-8000-0000000000cd'].map(async tenant => {
          const reply = await send(own, { tenant })
          assert.ok([400, 403].includes(reply.status) && reply.text.includes(tenant), reply.text)
          return lasting(reply, idOf(reply), tenant)
        }),
      )
      for (const reply of unknown) assert.deepEqual(reply, forbidden)
    })

    test("is 503 with Retry-After as long as the issuer's keys have never been available", async t => {
      const here = await world.broker(t)
      emulator.fault({ kind: 'server-error', at: 'callers' })
      t.after(() => emulator.clearFaults())
      const { status, headers } = await send(await tokenEndpointsOf(world, here))
      assert.equal(status, 503)
      assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    })

    test('is 500 after an unexpected error, without details', async t => {
      const here = await world.broker(t)
      const own = await tokenEndpointsOf(world, here)
      const { monotonic } = clock
      clock.monotonic = () => {
        throw new Error('the unexpected error')
      }
      const reply = await send(own).finally(() => (clock.monotonic = monotonic))
      assert.equal(reply.status, 500, reply.text)
      assert.ok(!reply.text.includes('the unexpected error') && !reply.text.includes(' at '), reply.text)
      assert.match(here.logText(), /the unexpected error/)
    })
  })

// Last, since it advances the clock, and the credentials above expire.
describe('Cache-Status says where the token came from, also when it is due or its refresh failed', () => {
  for (const { endpoint, send } of endpointRows)
    test(endpoint.name, async t => {
      const here = await world.broker(t)
      const from = async () => (await send(await tokenEndpointsOf(world, here))).headers['cache-status']
      assert.equal(await from(), 'token-broker; fwd=miss')
      clock.advance(2700)
      emulator.fault({ kind: 'server-error', at: 'token' })
      t.after(() => emulator.clearFaults())
      assert.match(String(await from()), /^token-broker; hit; ttl=\d+; detail=due$/)
      await until('the refresh has failed', async () => String(await from()).endsWith('; detail=refresh-failed'))
    })
})
