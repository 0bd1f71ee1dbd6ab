import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hedged } from '../../../src/broker/lib/hedge.ts'
import { movableTime } from '../../outbound/entra/retry-world.ts'

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
