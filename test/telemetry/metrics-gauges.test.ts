import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { graph, policyOf, type TestBroker, until } from '../support/broker.ts'
import { metricsWorld } from './metrics-world.ts'

const metrics = await metricsWorld()
const { emulator, clock, ask } = metrics

const read = async (broker: TestBroker, ...keys: readonly string[]) => {
  const { series } = await metrics.scrape(broker)
  return keys.map(key => series.get(`token_broker_${key}`)?.value)
}

describe('the cache', () => {
  test('entries, maximum, fetches in flight', async t => {
    const broker = await metrics.bareBroker(t, { environment: { BROKER_CACHE_MAX_ENTRIES: '2' } })
    const gauges = () => read(broker, 'cache_entries', 'cache_max_entries', 'cache_fetches_in_flight')
    assert.deepEqual(await gauges(), [0, 2, 0])
    await ask(broker)
    assert.deepEqual(await gauges(), [1, 2, 0])
    emulator.configure({ latency: { token: 200 } })
    const response = ask(broker, { tenant: 'fabrikam', scope: graph })
    await until('the fetch', async () => (await gauges())[2] === 1)
    await response
    assert.deepEqual(await gauges(), [2, 2, 0])
  })

  test('an expired entry is still counted, although it is not requested again', async t => {
    const broker = await metrics.broker(t)
    clock.advance(86_400)
    assert.deepEqual(await read(broker, 'cache_entries'), [1])
  })
})

describe('entries at risk, and the seconds until the first becomes unusable', () => {
  const risk = (broker: TestBroker) => read(broker, 'cache_entries_at_risk', 'cache_at_risk_usable_seconds')
  const none = [0, Number.NaN]

  /** The refresh of fabrikam's token has failed, and it is usable for 839 s more. */
  async function failing(t: TestContext, environment: Record<string, string> = {}) {
    const broker = await metrics.broker(t, { environment })
    clock.advance(2700)
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    await ask(broker, fabrikam)
    await until('the failed refresh', () => broker.events('token.refresh_failed').length === 1)
    return broker
  }
  const fabrikam = { tenant: 'fabrikam', scope: graph }
  const settles = (broker: TestBroker, expected: readonly number[]) =>
    until(`${expected.join()} at risk`, async () => String(await risk(broker)) === String(expected))

  test('are 0 and NaN while no refresh fails', async t => {
    assert.deepEqual(await risk(await metrics.broker(t)), none)
  })

  test('appear once the key is requested after its refresh failed, and count down', async t => {
    const broker = await failing(t)
    assert.deepEqual(await risk(broker), none)
    await ask(broker, fabrikam)
    assert.deepEqual(await risk(broker), [1, 839])
    clock.advance(0.5)
    assert.deepEqual(await risk(broker), [1, 838.5])
    clock.advance(0.5)
    assert.deepEqual(await risk(broker), [1, 838])
  })

  test('disappear on success', async t => {
    const broker = await failing(t)
    await ask(broker, fabrikam)
    emulator.clearFaults()
    // The failure is cached for 22.5 s, which is longer than the refresh backs off.
    clock.advance(23)
    await ask(broker, fabrikam)
    await settles(broker, none)
    await ask(broker, fabrikam)
    assert.deepEqual(await risk(broker), none)
  })

  test('disappear when the token becomes unusable', async t => {
    const broker = await failing(t)
    await ask(broker, fabrikam)
    clock.advance(838)
    assert.deepEqual(await risk(broker), [1, 1])
    clock.advance(1)
    assert.deepEqual(await risk(broker), none)
  })

  test('disappear with an eviction', async t => {
    const broker = await failing(t, { BROKER_CACHE_MAX_ENTRIES: '1' })
    await ask(broker, fabrikam)
    assert.deepEqual(await risk(broker), [1, 839])
    emulator.clearFaults()
    clock.advance(23)
    assert.deepEqual(await risk(broker), [1, 816])
    assert.equal((await ask(broker)).status, 200)
    assert.deepEqual(await risk(broker), none)
  })
})

describe('the upstreams', () => {
  const authority = `upstream_healthy{kind="authority",name="${emulator.entraUrl}"}`
  const identity = 'upstream_healthy{kind="identity",name="managed-identity"}'
  const issuer = 'upstream_healthy{kind="issuer",name="emulator"}'
  const all = (broker: TestBroker) => read(broker, authority, identity, issuer)

  test('are absent before they are needed, then 1', async t => {
    const broker = await metrics.bareBroker(t)
    assert.deepEqual(await all(broker), [undefined, undefined, 1])
    await ask(broker)
    assert.deepEqual(await all(broker), [1, 1, 1])
  })

  test('are 0 while they fail, and 1 again', async t => {
    const broker = await metrics.broker(t)
    emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
    await ask(broker)
    assert.deepEqual(await all(broker), [0, 1, 1])
    emulator.clearFaults()
    clock.advance(600)
    await ask(broker)
    assert.deepEqual(await all(broker), [1, 1, 1])
  })

  test("have the offset of this machine's clock: absent before the first exchange, positive if it is ahead", async t => {
    const offset = async (broker: TestBroker) => {
      const [value] = await read(broker, `upstream_clock_offset_seconds{kind="authority",name="${emulator.entraUrl}"}`)
      return value
    }
    const broker = await metrics.bareBroker(t)
    assert.equal(await offset(broker), undefined)
    await ask(broker)
    assert.ok(Math.abs((await offset(broker)) ?? Number.NaN) <= 1, String(await offset(broker)))
    emulator.configure({ clockAhead: 250 })
    await ask(broker, { tenant: 'fabrikam', scope: graph })
    assert.ok(Math.abs(((await offset(broker)) ?? Number.NaN) + 250) <= 1, String(await offset(broker)))
  })

  test('a refusal for one tenant does not make the authority unhealthy', async t => {
    const broker = await metrics.broker(t)
    await ask(broker, { tenant: 'tailspin', scope: graph })
    assert.deepEqual(await all(broker), [1, 1, 1])
  })
})

describe('the service', () => {
  test('is ready when /readyz reports it', async t => {
    const broker = await metrics.broker(t)
    assert.deepEqual(await read(broker, 'ready'), [0])
    await broker.service.warmUp()
    assert.deepEqual(await read(broker, 'ready'), [1])
    broker.service.drain()
    assert.deepEqual(await read(broker, 'ready'), [0])
  })

  test('reports the SHA-256 of its policy file, and when it was loaded', async t => {
    const started = clock.now() / 1000
    const broker = await metrics.broker(t)
    clock.advance(60)
    const text = JSON.stringify({ ...policyOf(emulator), issuers: metrics.issuers })
    const sha256 = createHash('sha256').update(text).digest('hex')
    const found = await read(broker, `policy_info{sha256="${sha256}"}`, 'policy_loaded_timestamp_seconds')
    assert.deepEqual(found, [1, started])
  })

  test('reports its version and that of Node.js', async t => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
      version: string
    }
    const broker = await metrics.broker(t)
    assert.deepEqual(await read(broker, `build_info{version="${version}",node="${process.version}"}`), [1])
  })

  test('measures the event loop delay since the last scrape', async t => {
    const broker = await metrics.broker(t)
    const delays = () => read(broker, 'event_loop_delay_p99_seconds', 'event_loop_delay_max_seconds')
    const turn = () => new Promise(resolve => setTimeout(resolve, 40))
    await delays()
    // The first tick after a scrape is where the next measurement begins.
    await turn()
    await turn()
    const end = performance.now() + 300
    while (performance.now() < end);
    await turn()
    const [p99 = 0, max = 0] = await delays()
    assert.ok(max >= 0.2 && max < 5, `max ${max}`)
    assert.ok(p99 > 0 && p99 <= max, `p99 ${p99}`)
    // Two scrapes at once: nothing was measured in between, and that is no delay.
    const [again = 1] = await delays()
    assert.ok(again < 0.2, `p99 ${again}`)
  })

  test('measures the process', async t => {
    const broker = await metrics.broker(t)
    const { series } = await metrics.scrape(broker)
    const value = (name: string) => series.get(name)?.value ?? 0
    assert.ok(value('process_cpu_seconds_total') > 0)
    assert.ok(value('process_resident_memory_bytes') > 10 * 2 ** 20)
    const heap = ['used', 'total', 'limit'].map(what => value(`nodejs_heap_${what}_bytes`))
    assert.ok(
      heap.every((bytes, n) => bytes > (heap[n - 1] ?? 2 ** 20)),
      String(heap),
    )
    assert.ok(value('nodejs_external_memory_bytes') > 2 ** 16)
    assert.ok(Math.abs(value('process_start_time_seconds') - performance.timeOrigin / 1000) < 1)
    const before = process.cpuUsage()
    while (process.cpuUsage(before).user < 20_000);
    const later = (await metrics.scrape(broker)).series.get('process_cpu_seconds_total')?.value ?? 0
    assert.ok(later > value('process_cpu_seconds_total'))
  })
})
