import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { defaultTenants, sample } from '../../../emulator/options.ts'
import { graph, policyOf, sampleCaller, send, startWorld, type TestBroker, until } from '../../support/broker.ts'

/** What happens to exchanges that are running during `DELETE /tokens`. */
const world = await startWorld({ tenants: defaultTenants.map(({ id }) => ({ id })) })
const { emulator, clock } = world
const operators = { name: 'operators', callers: [sampleCaller], permissions: ['purge', 'observe'] }
const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
const authorization = `Bearer ${token}`

/** One per test: all of them wait for Entra at the same time. */
const start = () =>
  world.broker({ after }, { policy: { rules: [...(policyOf(emulator)['rules'] as object[]), operators] } })
const brokers = { cold: await start(), joined: await start(), due: await start(), failed: await start() }

const requestToken = (broker: TestBroker, tenant = 'contoso') =>
  broker.requestToken({ tenant, scope: graph }, { token })
const purge = async ({ url }: TestBroker, query: string) =>
  (await send(`${url}/tokens${query}`, { method: 'DELETE', headers: { authorization } })).json
const fetching = async ({ url }: TestBroker): Promise<unknown> =>
  (await send(`${url}/cache`, { headers: { authorization } })).json['fetching']
/** Long enough for a purge to finish meanwhile, on a busy machine too. */
const exchangeMs = 1500

describe('an exchange that began before a purge', { concurrency: true }, () => {
  before(async () => {
    await requestToken(brokers.due)
    clock.advance(2700)
    for (const broker of Object.values(brokers)) await requestToken(broker, 'fabrikam')
    emulator.fault({ kind: 'throttled', at: 'token', tenant: sample.tailspin, times: 1, retryAfter: 60 })
    emulator.configure({ latency: { token: exchangeMs } })
  })

  test('is still returned to the callers that wait for it, and is not cached', async () => {
    const broker = brokers.cold
    const waiting = requestToken(broker)
    await until('the exchange', async () => (await fetching(broker)) === 1)
    assert.deepEqual(await purge(broker, '?tenant=contoso'), { dropped: 0, replicas: 'this' })
    const { status, headers, json } = await waiting
    assert.deepEqual([status, headers['cache-status']], [200, 'token-broker; fwd=miss'])
    const next = await requestToken(broker)
    assert.equal(next.headers['cache-status'], 'token-broker; fwd=miss')
    assert.notEqual(next.json['access_token'], json['access_token'])
    assert.match(
      String((await requestToken(broker, 'fabrikam')).headers['cache-status']),
      /; hit; /,
      'other tenants keep their tokens',
    )
  })

  test('is not shared with a request that comes after the purge', async () => {
    const broker = brokers.joined
    const early = requestToken(broker)
    await until('the exchange', async () => (await fetching(broker)) === 1)
    await purge(broker, '?all=true')
    assert.equal(await fetching(broker), 0, 'it belongs to no key any more')
    const late = await requestToken(broker)
    assert.equal(late.headers['cache-status'], 'token-broker; fwd=miss')
    assert.notEqual(late.json['access_token'], (await early).json['access_token'])
    const next = await requestToken(broker)
    assert.match(String(next.headers['cache-status']), /; hit; /)
    assert.equal(next.json['access_token'], late.json['access_token'])
  })

  test('is not cached if it was a refresh', async () => {
    const broker = brokers.due
    assert.match(String((await requestToken(broker)).headers['cache-status']), /detail=due$/)
    assert.equal(await fetching(broker), 1)
    assert.equal((await purge(broker, '?tenant=contoso'))['dropped'], 1)
    const next = await requestToken(broker)
    assert.equal(next.headers['cache-status'], 'token-broker; fwd=miss')
    assert.equal(
      (await requestToken(broker)).json['access_token'],
      next.json['access_token'],
      'the refresh came too late',
    )
  })

  test('is not in the negative cache if it failed', async () => {
    const broker = brokers.failed
    const waiting = requestToken(broker, 'tailspin')
    await until('the exchange', async () => (await fetching(broker)) === 1)
    await purge(broker, '?tenant=tailspin')
    assert.equal((await waiting).status, 503)
    assert.equal((await requestToken(broker, 'tailspin')).status, 200)
  })
})
