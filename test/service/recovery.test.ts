import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import type { Fault } from '../../emulator/faults.ts'
import type { Wait } from '../../src/broker/lib/clock.ts'
import { leastHedges } from '../../src/broker/lib/async/hedge.ts'
import { hedgeIdentityAfterMs } from '../../src/broker/tokens/assertion-cache.ts'
import { hedgeAfterMs } from '../../src/outbound/entra/entra.ts'
import { graph, observers, sampleCaller, startWorld } from '../support/broker.ts'

/** After an outage of the emulator, a broker serves all eight tenants within three seconds of its own clock. */
const tenants = Array.from({ length: 8 }, (_, n) => `40000000-0000-4000-8000-00000000000${n}`)
const { emulator, clock, broker: startBroker } = await startWorld({ tenants: tenants.map(id => ({ id })) })
const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })
const rule = { name: 'all', callers: [sampleCaller], tenants, scopes: [graph] }
const policy = { tenants: {}, rules: [rule, observers] }
const stepSeconds = 0.25

const outages: readonly Fault[] = [
  { kind: 'server-error', at: 'token', status: 503 },
  { kind: 'server-error', at: 'token', status: 503, retryAfter: 30 },
  { kind: 'refused', at: 'token' },
  { kind: 'server-error', at: 'identity', status: 500 },
  { kind: 'refused', at: 'identity' },
]

describe('every tenant without a token is served within 3 s after an outage of a minute', () => {
  for (const fault of outages)
    test(`${fault.kind} at ${fault.at}${fault.retryAfter === undefined ? '' : `, Retry-After ${fault.retryAfter}`}`, async t => {
      const broker = await startBroker(t, { policy })
      const served = new Set<string>()
      const requestAll = async () => {
        const missing = tenants.filter(tenant => !served.has(tenant))
        const replies = await Promise.all(
          missing.map(tenant => broker.requestToken({ tenant, scope: graph }, { token })),
        )
        for (const [n, { status }] of replies.entries()) if (status === 200) served.add(missing[n] ?? '')
        clock.advance(stepSeconds)
      }
      emulator.fault(fault)
      for (let seconds = 0; seconds < 60; seconds += 4 * stepSeconds) {
        await requestAll()
        clock.advance(3 * stepSeconds)
      }
      assert.equal(served.size, 0)
      emulator.clearFaults()
      for (let seconds = 0; seconds < 3; seconds += stepSeconds) await requestAll()
      assert.equal(served.size, tenants.length)
    })
})

describe('a request that hangs is made once more, and the caller gets the second response', () => {
  /** Passes quickly until a request is repeated, and slowly to the deadline. */
  const wait: Wait = (ms, signal) =>
    sleep(ms === hedgeAfterMs || ms === hedgeIdentityAfterMs ? 50 : 20 * ms, undefined, { signal })
  for (const at of ['token', 'identity'] as const)
    for (const kind of ['hung', 'stalled-body'] as const)
      test(`${kind} at ${at}: the caller gets a token, and nothing counts as failed`, async t => {
        const broker = await startBroker(t, { policy, wait })
        emulator.fault({ kind, at, times: 1 })
        const reply = await broker.requestToken({ tenant: tenants[0] ?? '', scope: graph }, { token })
        assert.equal(reply.status, 200, reply.text)
        assert.ok(emulator.counts().endpoints[at].total >= 2)
        const { upstreams } = (await broker.get('/health')).json
        assert.ok(Array.isArray(upstreams) && upstreams.length >= 3)
        assert.doesNotMatch(JSON.stringify(upstreams), /failing/)
      })
})

test('while Entra hangs for all tenants, few exchanges are made once more, not all of them', async t => {
  const total = () => emulator.counts().endpoints.token.total
  const reached = async (requests: number, signal: AbortSignal) => {
    while (total() < requests && !signal.aborted) await sleep(5)
  }
  const hedging = tenants.length + leastHedges
  let waits = 0
  /** Hedges begin when all exchanges have arrived, once for each; the deadline passes when the hedges have arrived. */
  const wait: Wait = async (ms, signal) => {
    if (ms === hedgeAfterMs && ++waits <= tenants.length) return reached(tenants.length, signal)
    if (ms === hedgeAfterMs || ms === hedgeIdentityAfterMs) return new Promise(() => undefined)
    await reached(hedging, signal)
    return sleep(50)
  }
  const broker = await startBroker(t, { policy, wait })
  emulator.fault({ kind: 'hung', at: 'token' })
  await Promise.all(tenants.map(tenant => broker.requestToken({ tenant, scope: graph }, { token })))
  assert.equal(total(), hedging)
})
