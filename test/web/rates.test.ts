import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { tokenEndpoints as endpointsOfBroker } from '../../src/http/token-endpoints/all.ts'
import {
  beginning,
  createHistory,
  exchangesNote,
  linesOf,
  roundTop,
  sampleOf,
  spans,
  tokenEndpoints,
} from '../../web/model/rates.js'
import type { Cache } from '../../web/model/responses.js'
import { graph, startWorld } from '../support/broker.ts'
import { readBoard } from './read-board.ts'

const world = await startWorld()
const broker = await world.broker({ after })
const read = async () => (await broker.get('/cache')).json as unknown as Cache
const start = Date.parse('2026-11-28T03:00:00Z')

interface Counts {
  readonly issued?: number
  readonly failed?: number
  readonly hits?: number
  readonly misses?: number
  readonly good?: number
  readonly bad?: number
  readonly seconds?: number
  /** Count and seconds. */
  readonly cached?: readonly [number, number]
}

/** A response of `/cache` with these counters, so many seconds after the start. */
const cacheAt = (seconds: number, counts: Counts, changes: Partial<Cache> = {}): Cache => {
  const { issued = 0, failed = 0, hits = 0, misses = 0, good = 0, bad = 0, seconds: took = 0, cached = [0, 0] } = counts
  const counters = {
    requests: [
      { endpoint: 'tokens', outcome: 'issued', count: issued },
      { endpoint: 'tokens', outcome: 'not_permitted', count: failed },
      { endpoint: 'health', outcome: 'ok', count: 1000 + seconds },
    ],
    cache_requests: [
      { result: 'hit', count: hits },
      { result: 'miss', count: misses },
    ],
    durations: [
      { endpoint: 'tokens', outcome: 'cached', count: cached[0], seconds: cached[1] },
      { endpoint: 'tokens', outcome: 'fetched', count: 7, seconds: 3 },
      { endpoint: 'health', outcome: 'ok', count: 1000 + seconds, seconds: 900 },
    ],
    exchanges: [
      { outcome: 'ok', count: good, seconds: took },
      { outcome: 'timeout', count: bad, seconds: 0 },
    ],
  }
  return { ...well, time: new Date(start + seconds * 1000).toISOString(), counters, ...changes }
}
const well = await read()

describe('the counters', () => {
  test('are those of a broker: what was issued, denied, cached and exchanged', async () => {
    const before = sampleOf(await read())
    await broker.requestToken()
    await broker.requestToken()
    await broker.requestToken({ tenant: 'contoso', scope: 'https://elsewhere.example/.default' })
    await broker.requestToken({ tenant: 'tailspin', scope: graph })
    const now = sampleOf(await read())
    const names = ['issued', 'failed', 'served', 'hits', 'exchanges', 'exchangeErrors'] as const
    const counted = names.map(name => [name, now[name] - before[name]])
    assert.deepEqual(Object.fromEntries(counted), {
      issued: 2,
      failed: 2,
      served: 2,
      hits: 1,
      exchanges: 1,
      exchangeErrors: 1,
    })
    assert.equal(now.at, world.clock.now())
  })

  test('are of every endpoint that issues tokens, and of no other', () => {
    assert.deepEqual(tokenEndpoints, new Set(endpointsOfBroker().map(({ name }) => name)))
  })
})

describe('a point', () => {
  test('is the difference of two samples for each second', () => {
    const history = createHistory()
    assert.deepEqual(history.add(cacheAt(0, { issued: 100, hits: 90, misses: 10, good: 10, seconds: 5 })), [])
    const points = history.add(
      cacheAt(10, { issued: 120, failed: 1, hits: 105, misses: 15, good: 14, bad: 1, seconds: 7 }),
    )
    assert.deepEqual(points, [
      {
        at: start + 10_000,
        issued: 2,
        failed: 0.1,
        hitShare: 75,
        exchanges: 0.4,
        exchangeErrors: 0.1,
        exchangeSeconds: 0.4,
        cachedSeconds: undefined,
        fetchedSeconds: undefined,
      },
    ])
  })

  test('is measured over ten seconds: there is none before, which would jump with each request', () => {
    const history = createHistory()
    assert.deepEqual(
      [0, 2, 8].flatMap(second => history.add(cacheAt(second, { issued: second }))),
      [],
    )
    history.clear()
    for (let second = 0; second < 20; second += 2) history.add(cacheAt(second, { issued: second === 18 ? 10 : 0 }))
    const points = history.add(cacheAt(20, { issued: 10 }))
    assert.equal(points.at(-1)?.issued, 1)
    assert.equal(points.at(-3)?.issued, 0)
  })

  test('has the mean duration of requests for tokens, cached ones apart from fetched ones', () => {
    const history = createHistory()
    history.add(cacheAt(0, { cached: [100, 2] }))
    const points = history.add(cacheAt(10, { cached: [110, 2.05] }))
    assert.equal(points[0]?.cachedSeconds?.toFixed(6), '0.005000')
    assert.equal(points[0]?.fetchedSeconds, undefined)
  })

  test('has no share and no duration where nothing happened', () => {
    const history = createHistory()
    history.add(cacheAt(0, {}))
    assert.partialDeepStrictEqual(history.add(cacheAt(10, {})), [
      { hitShare: undefined, exchangeSeconds: undefined, issued: 0 },
    ])
  })
})

describe('the history', () => {
  test('begins anew with another replica, and after a restart', () => {
    for (const changes of [{ replica: 'other' }, { started_at: '2026-11-28T03:00:01Z' }]) {
      const history = createHistory()
      history.add(cacheAt(0, { issued: 1000 }))
      assert.deepEqual(history.add(cacheAt(2, { issued: 3 }, changes)), [])
      assert.equal(history.add(cacheAt(12, { issued: 13 }, changes))[0]?.issued, 1)
    }
  })

  test('ignores a response that is older than the last one', () => {
    const history = createHistory()
    history.add(cacheAt(0, { issued: 0 }))
    history.add(cacheAt(14, { issued: 4 }))
    assert.equal(history.add(cacheAt(12, { issued: 2 })).length, 1)
  })

  test('has an end: the last five minutes, whatever the page was open for', () => {
    const history = createHistory()
    let length = 0
    for (let second = 0; second < 3600; second += 2) ({ length } = history.add(cacheAt(second, { issued: second })))
    assert.ok(length <= (spans.shown + spans.measured) / 2000 + 1, String(length))
  })

  test('forgets', () => {
    const history = createHistory()
    history.add(cacheAt(0, {}))
    history.clear()
    assert.deepEqual(history.add(cacheAt(2, {})), [])
  })
})

describe('what is said of the lines', () => {
  test('where they begin, until they fill the chart', () => {
    const history = createHistory()
    assert.equal(beginning(history.add(cacheAt(0, {}))), undefined)
    history.add(cacheAt(10, {}))
    assert.equal(beginning(history.add(cacheAt(20, {}))), start + 10_000)
    let points = history.add(cacheAt(22, {}))
    for (let second = 24; second < 400; second += 2) points = history.add(cacheAt(second, {}))
    assert.equal(beginning(points), undefined)
  })

  test('why few exchanges fail during an outage: cached failures respond, or there is no token to exchange', async () => {
    const { snapshot } = await readBoard(broker, world.clock.now())
    const cached = [{ level: 'tenant', reason: 'consent', count: 1 }] as unknown as Cache['failures']
    assert.equal(exchangesNote({ ...snapshot, cache: { ...snapshot.cache, failures: [] } }), '')
    assert.match(
      exchangesNote({ ...snapshot, cache: { ...snapshot.cache, failures: cached } }),
      /get the cached failure/,
    )
    const upstreams = snapshot.health.upstreams.map(each => ({ ...each, status: 'failing' as const }))
    assert.match(exchangesNote({ ...snapshot, health: { ...snapshot.health, upstreams } }), /no exchange is tried/)
  })
})

describe('the top of a chart', () => {
  const rows: readonly (readonly [value: number, top: number, why: string])[] = [
    [0, 1, 'nothing yet'],
    [Number.NaN, 1, 'no number'],
    [-1, 1, 'never'],
    [0.0123, 0.02, 'milliseconds'],
    [1, 1, 'exactly'],
    [1.01, 2, 'just above'],
    [4.9, 5, 'below five'],
    [5.1, 10, 'above five'],
    [1234, 2000, 'thousands'],
  ]
  for (const [value, top, why] of rows)
    test(`of ${value} is ${top}: ${why}`, () => assert.ok(Math.abs(roundTop(value) - top) < 1e-9))
})

describe('lines', () => {
  const chart = { from: 0, to: 100, top: 10, width: 200, height: 50 }
  const rows: readonly (readonly [values: readonly (number | undefined)[], lines: readonly string[], why: string])[] = [
    [[], [], 'nothing'],
    [[0, 10], ['0.0,50.0 100.0,0.0'], 'the bottom and the top'],
    [[5, undefined, 5], ['0.0,25.0', '200.0,25.0'], 'a gap divides it'],
    [[20], ['0.0,0.0'], 'never above the top'],
  ]
  for (const [values, lines, why] of rows)
    test(why, () =>
      assert.deepEqual(
        linesOf(
          values.map((value, nth) => ({ at: nth * 50, value })),
          chart,
        ),
        lines,
      ),
    )

  test('begin at the left edge', () => assert.deepEqual(linesOf([{ at: -1, value: 1 }], chart), []))
})
