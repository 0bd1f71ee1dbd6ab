import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { BrokerError } from '../../src/errors.ts'
import { type RefusedRepeats, summarizeRefusals } from '../../src/telemetry/refused-callers.ts'
import { noon } from '../support/clock.ts'

const malformed = new BrokerError('invalid_token', 'x', { reason: 'malformed' })
const expired = new BrokerError('invalid_token', 'x', { reason: 'expired' })

function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let [now, nth] = [noon, 0]
  const lines: (readonly [address: string, reason: string, count: number])[] = []
  const times: (readonly [first: number, last: number])[] = []
  const refusals = summarizeRefusals(
    {
      one: ({ address }, { reason }) => void lines.push([address, reason, 1]),
      many: ({ request: { address }, error: { reason }, count, first, last }) => {
        lines.push([address, reason, count])
        times.push([first - noon, last - noon])
      },
    },
    () => now,
  )
  const refuse = (address: string, error = malformed) => {
    now += 1
    refusals.unauthenticated({ requestId: `r-${++nth}`, endpoint: 'tokens', address }, error)
  }
  return { lines, times, refuse, minute: () => t.mock.timers.tick(60_000), close: refusals.close }
}

describe('refused callers', () => {
  test('of one address and reason are one line at once, and one a minute with the count and the times', t => {
    const { lines, times, refuse, minute } = setUp(t)
    for (let nth = 0; nth < 1000; nth++) refuse('192.0.2.1')
    assert.deepEqual(lines, [['192.0.2.1', 'malformed', 1]])
    minute()
    assert.deepEqual(lines.slice(1), [['192.0.2.1', 'malformed', 999]])
    assert.deepEqual(times, [[2, 1000]])
    refuse('192.0.2.1')
    minute()
    assert.deepEqual(lines.slice(2), [['192.0.2.1', 'malformed', 1]])
  })

  test('have on the line of their repetitions what the last token says of itself, and nothing else of the error', t => {
    const written: RefusedRepeats[] = []
    t.mock.timers.enable({ apis: ['setInterval'] })
    const refusals = summarizeRefusals(
      { one: () => undefined, many: repeats => void written.push({ ...repeats }) },
      () => noon,
    )
    for (const iss of ['a', 'b', 'c']) {
      const parts = { reason: 'issuer', unverified: { iss, aud: ['x'], kid: undefined }, cause: 'large' } as const
      refusals.unauthenticated(
        { requestId: iss, endpoint: 'tokens', address: '::1' },
        new BrokerError('invalid_token', 'x', parts),
      )
    }
    t.mock.timers.tick(60_000)
    const error = { code: 'invalid_token', reason: 'issuer', status: 401, retryAfter: undefined }
    assert.deepEqual(
      written.map(each => [each.error, each.count]),
      [[{ ...error, unverified: { iss: 'c', aud: ['x'], kid: undefined } }, 2]],
    )
    refusals.close()
  })

  test('of another address or for another reason have lines of their own', t => {
    const { lines, refuse } = setUp(t)
    for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) refuse(address)
    refuse('192.0.2.1', expired)
    assert.deepEqual(lines, [
      ['192.0.2.1', 'malformed', 1],
      ['192.0.2.2', 'malformed', 1],
      ['192.0.2.1', 'expired', 1],
    ])
  })

  test('of one IPv6 network of 64 bits count together, because one sender has all its addresses', t => {
    const { lines, refuse, minute } = setUp(t)
    for (let nth = 1; nth <= 500; nth++) refuse(`2001:db8::${nth.toString(16)}`)
    refuse('2001:db8:0:1::1')
    minute()
    assert.deepEqual(lines, [
      ['2001:db8::1', 'malformed', 1],
      ['2001:db8:0:1::1', 'malformed', 1],
      ['2001:db8::1f4', 'malformed', 499],
    ])
  })

  test('are a first line again after two minutes of silence, and not before one', t => {
    const { lines, refuse, minute } = setUp(t)
    refuse('192.0.2.1')
    minute()
    refuse('192.0.2.1')
    assert.equal(lines.length, 1)
    for (let nth = 0; nth < 3; nth++) minute()
    assert.equal(lines.length, 2)
    refuse('192.0.2.1')
    assert.equal(lines.length, 3)
  })

  test('are all counted: pending repetitions are written on close, and when 10,000 other addresses replace them', t => {
    const { lines, refuse, close } = setUp(t)
    refuse('192.0.2.1')
    refuse('192.0.2.1')
    for (let nth = 0; nth < 10_000; nth++) refuse(`10.1.${nth >> 8}.${nth & 255}`)
    assert.deepEqual(lines.at(-2), ['192.0.2.1', 'malformed', 1])
    assert.equal(lines.length, 10_002)
    refuse('10.1.0.7')
    close()
    assert.deepEqual(lines.slice(10_002), [['10.1.0.7', 'malformed', 1]])
  })
})
