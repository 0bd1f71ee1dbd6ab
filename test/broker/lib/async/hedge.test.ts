import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hedged, Hedges, leastHedges } from '../../../../src/broker/lib/async/hedge.ts'
import { movableTime } from '../../../outbound/entra/retry-world.ts'

/** Requests that settle when the test says so, made every 1,000 ms. */
function hedgeWorld() {
  const { wait, pass } = movableTime()
  const outer = new AbortController()
  const requests: (PromiseWithResolvers<string> & { readonly signal: AbortSignal })[] = []
  const request = (signal: AbortSignal) => {
    const made = { ...Promise.withResolvers<string>(), signal }
    signal.addEventListener('abort', () => made.reject(new Error('aborted')))
    requests.push(made)
    return made.promise
  }
  const result = hedged(request, 1000, outer.signal, wait).catch((thrown: unknown) => thrown)
  const aborted = () => requests.map(({ signal }) => signal.aborted)
  return { pass, outer, requests, result, aborted }
}

test('a request that responds in time is made once', async () => {
  const { pass, requests, result } = hedgeWorld()
  await pass(999)
  requests[0]?.resolve('token')
  assert.equal(await result, 'token')
  await pass(10_000)
  assert.equal(requests.length, 1)
})

test('beside a request that hangs, another one is made after each interval, in place of the last such one', async () => {
  const { pass, requests, aborted } = hedgeWorld()
  await pass(1000)
  assert.deepEqual(aborted(), [false, false])
  await pass(2000)
  assert.equal(requests.length, 4)
  assert.deepEqual(aborted(), [false, true, true, false], 'two at a time: a slow server can respond to the first')
})

for (const first of [0, 2])
  test(`the first that responds decides, and the others are aborted: ${first}`, async () => {
    const { pass, requests, result, aborted } = hedgeWorld()
    await pass(2000)
    requests[first]?.resolve(`token ${first}`)
    assert.equal(await result, `token ${first}`)
    assert.deepEqual(aborted(), [true, true, true])
    await pass(10_000)
    assert.equal(requests.length, 3)
  })

test('the first error decides, too: it says more than silence', async () => {
  const { pass, requests, result, aborted } = hedgeWorld()
  await pass(1000)
  const error = new Error('503')
  requests[1]?.reject(error)
  assert.equal(await result, error)
  assert.deepEqual(aborted(), [true, true])
})

test('at the deadline everything ends', async () => {
  const { pass, outer, requests, result, aborted } = hedgeWorld()
  await pass(1500)
  outer.abort()
  assert.match(String(await result), /aborted/)
  assert.deepEqual(aborted(), [true, true])
  await pass(10_000)
  assert.equal(requests.length, 2)
})

/** Requests to one server, each with a deadline of five seconds. It takes `latencyMs` for those that begin from now on. */
function serverWorld() {
  const time = movableTime()
  const { clock, wait } = time
  const hedges = new Hedges()
  const requests: { readonly servedAt: number }[] = []
  const world = { ...time, requests, latencyMs: 50, made: 0, running: 0, mostRunning: 0 }
  const respond = async (signal: AbortSignal): Promise<void> => {
    world.made++
    world.mostRunning = Math.max(world.mostRunning, ++world.running)
    await wait(world.latencyMs, signal).finally(() => world.running--)
  }
  const request = (): void => {
    const made = { servedAt: Infinity }
    requests.push(made)
    const deadline = new AbortController()
    void wait(5000, new AbortController().signal).then(() => deadline.abort())
    hedged(respond, 2000, deadline.signal, wait, hedges).then(
      () => (made.servedAt = clock.monotonic()),
      () => undefined,
    )
  }
  return Object.assign(world, { request })
}
const hangs = 1_000_000

test('a server that is slow for all requests is not sent them twice: there are a few hedges at once, for all of them', async () => {
  const world = serverWorld()
  world.latencyMs = 3000
  for (let nth = 0; nth < 500; nth++) {
    world.request()
    await world.pass(20)
  }
  await world.pass(5000)
  assert.ok(world.requests.every(({ servedAt }) => servedAt < Infinity))
  // 50 requests a second, each of which hangs for a second after it might have been made once more.
  assert.ok(world.mostRunning <= 151 + leastHedges, `${world.mostRunning} at once`)
  assert.ok(world.made <= 1.15 * 500, `${world.made} for 500 requests`)
})

test('a server that hangs is not sent all requests twice either, also if hedges helped after its last outage', async () => {
  const world = serverWorld()
  const burst = async (latencyMs: number) => {
    world.latencyMs = latencyMs
    for (let nth = 0; nth < 64; nth++) world.request()
    await world.pass(1000)
  }
  await burst(hangs)
  world.latencyMs = 50
  await world.pass(5000)
  await burst(hangs)
  await world.pass(5000)
  world.mostRunning = 0
  await burst(hangs)
  await world.pass(5000)
  assert.equal(world.mostRunning, 64 + leastHedges)
})

test('once a server is well, hedges help, and all requests that hang since before are served within 3 s', async () => {
  for (const since of [100, 1900, 2000, 2100, 2900]) {
    const world = serverWorld()
    world.latencyMs = hangs
    for (let nth = 0; nth < 64; nth++) world.request()
    await world.pass(since)
    const end = world.clock.monotonic()
    world.latencyMs = 200
    await world.pass(5000)
    const last = Math.max(...world.requests.map(({ servedAt }) => servedAt))
    assert.ok(last - end <= 3000, `${last - end} ms, after ${since} ms`)
  }
})

test('what is over leaves its turn to others: a request that was served, or whose deadline has passed', async () => {
  const world = serverWorld()
  world.latencyMs = hangs
  for (let round = 0; round < 20; round++) {
    for (let nth = 0; nth < 2 * leastHedges; nth++) world.request()
    await world.pass(6000)
  }
  assert.equal(world.running, 0)
  world.made = 0
  for (let nth = 0; nth < 2 * leastHedges; nth++) world.request()
  await world.pass(2100)
  assert.equal(world.made, 3 * leastHedges)
})
