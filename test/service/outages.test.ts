import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault } from '../../emulator/faults.ts'
import { send, startWorld } from '../support/broker.ts'

/** Outages that last as long as a token lives: no caller notices before it has expired, and the broker stays ready. */
const { emulator, clock, broker: startBroker } = await startWorld()
const token = await emulator.mintCallerToken({}, { expiresIn: 86_400 })

const outages: readonly Fault[] = [
  { kind: 'refused', at: 'token' },
  { kind: 'hung', at: 'token' },
  { kind: 'stalled-body', at: 'token' },
  { kind: 'reset', at: 'token' },
  { kind: 'throttled', at: 'token', retryAfter: 120 },
  { kind: 'server-error', at: 'token', status: 500 },
  { kind: 'server-error', at: 'token', status: 503, retryAfter: 30 },
  { kind: 'html', at: 'token' },
  { kind: 'aadsts', at: 'token', code: 700_213 },
  { kind: 'aadsts', at: 'token', code: 7_000_229 },
  { kind: 'wrong-tenant', at: 'token' },
  { kind: 'refused', at: 'identity' },
  { kind: 'hung', at: 'identity' },
  { kind: 'throttled', at: 'identity' },
  { kind: 'server-error', at: 'identity', status: 500 },
]

describe('an outage does not affect callers as long as their token is valid', () => {
  for (const fault of outages) {
    const name = [fault.kind, fault.code, fault.status].filter(each => each !== undefined).join(' ')
    test(`${name} at ${fault.at}`, async t => {
      const broker = await startBroker(t, { environment: { BROKER_UPSTREAM_TIMEOUT_MS: '500' } })
      // The identity's token expires before the access token is due.
      emulator.configure({ identityTokenLife: 1800 })
      emulator.renewIdentityToken()
      await broker.service.warmUp()
      const request = () => broker.requestToken(undefined, { token })
      const first = await request()
      assert.equal(first.status, 200, first.text)
      emulator.fault(fault)
      // 60 s are left after 58 minutes and 59 seconds.
      for (let minute = 1; minute < 59; minute++) {
        clock.advance(60)
        const { status, json } = await request()
        assert.deepEqual([status, json['access_token']], [200, first.json['access_token']], `minute ${minute}`)
      }
      assert.equal((await send(`${broker.url}/readyz`)).status, 200)
      clock.advance(60)
      assert.ok((await request()).status >= 400, 'then callers get an error')
      assert.equal((await send(`${broker.url}/readyz`)).status, 200)
    })
  }
})
