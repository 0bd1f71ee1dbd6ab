import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Snapshot, Upstream } from '../../web/model/responses.js'
import { findings, verdict } from '../../web/model/verdict.js'
import { way } from '../../web/model/way.js'
import { wellBoard } from './well-board.ts'

const { well, iso, errorOf, withUpstream, failure } = await wellBoard()
const sentenceOf = (snapshot: Snapshot) => verdict(findings(snapshot)).sentence
const idsOf = (snapshot: Snapshot) => findings(snapshot).map(({ id }) => id)

describe('Entra', () => {
  const error = (reason: 'network' | 'timeout' | 'server_error' | 'throttled' | 'unreadable') =>
    errorOf('upstream_unavailable', reason)
  const open = { state: 'open', since: iso(1) } as const
  const rows: readonly (readonly [changes: Partial<Upstream>, sentence: RegExp])[] = [
    [{ last_error: error('network') }, /^Entra cannot be reached, so only cached tokens are issued\.$/],
    [{ last_error: error('timeout') }, /^Entra does not respond in time, so/],
    [
      { last_error: error('server_error'), circuit: open },
      /^Entra responds with errors, and the broker has paused its requests, so/,
    ],
    [{ last_error: error('throttled') }, /^Entra limits the broker's requests, so/],
    [{ last_error: error('unreadable') }, /^Entra's responses cannot be used, so/],
  ]
  for (const [changes, sentence] of rows)
    test(String(sentence), () =>
      assert.match(sentenceOf(withUpstream('authority', { status: 'failing', since: iso(100), ...changes })), sentence),
    )

  test('the end of the first token at risk is a deadline, and no part of the sentence, which screen readers read again', () => {
    const down = withUpstream('identity', { status: 'failing' })
    const cache = { ...down.cache, entries: 90, at_risk: 12, at_risk_usable_seconds: 500 }
    const [found] = findings({ ...down, cache, firstEnd: well.now + 100_000 })
    assert.match(found?.sentence ?? '', /so only cached tokens are issued$/)
    assert.deepEqual(found?.deadline, {
      what: 'The first of 12 cached tokens that are in use and could not be refreshed expires',
      at: well.now + 500_000,
    })
  })

  describe('of which the last exchange failed is an outage', () => {
    const timedOut = (nth: number) =>
      failure(nth, { level: 'key', code: 'upstream_unavailable', reason: 'timeout', codes: [], remedy: null })
    const cases: readonly (readonly [
      what: string,
      changes: Partial<Upstream>,
      failing: readonly number[],
      word: string,
      tile: string,
    ])[] = [
      ['not if one tenant failed, just now', {}, [1], 'Partly failing', 'attention'],
      ['not if two keys of one tenant failed', {}, [1, 1], 'Partly failing', 'attention'],
      [
        'not after several attempts within a minute',
        { since: iso(60), consecutive_failures: 9 },
        [1],
        'Partly failing',
        'attention',
      ],
      ['not if no failure is cached any more', {}, [], 'Needs attention', 'attention'],
      [
        'not if it was one exchange, long ago',
        { since: iso(9999), last_error: { ...errorOf('upstream_unavailable', 'timeout'), at: iso(9998) } },
        [],
        'Needs attention',
        'attention',
      ],
      ['if two tenants failed', {}, [1, 2], 'Failing', 'failing'],
      ['if there were only failures for a minute', { since: iso(61) }, [1], 'Failing', 'failing'],
      ['if the circuit breaker has opened', { circuit: open }, [1], 'Failing', 'failing'],
      ['if the circuit breaker tries again', { circuit: { ...open, state: 'half-open' } }, [1], 'Failing', 'failing'],
      [
        'if the federated credential does not match',
        { last_error: errorOf('federation_misconfigured', 'federation') },
        [],
        'Failing',
        'failing',
      ],
      ['if the last error is not known', { last_error: null }, [], 'Failing', 'failing'],
    ]
    for (const [what, changes, tenants, word, tile] of cases)
      test(what, () => {
        const down = withUpstream('authority', {
          status: 'failing',
          since: iso(2),
          last_error: error('timeout'),
          ...changes,
        })
        const snapshot = { ...down, failures: tenants.map(timedOut) }
        const found = findings(snapshot)
        assert.equal(verdict(found).word, word)
        assert.equal(way(snapshot, found).find(({ title }) => title === 'Entra')?.level, tile)
      })

    test('and otherwise the finding is about that tenant, and does not say that others get tokens', () => {
      const down = withUpstream('authority', { status: 'failing', since: iso(2), last_error: error('timeout') })
      const found = findings({ ...down, failures: [timedOut(1)] })
      assert.deepEqual(
        found.map(({ id, sentence, affected }) => [id, sentence, affected]),
        [
          [
            'tenants timeout',
            'Tenant tenant-1 gets no new tokens: Entra does not respond in time for it',
            'requests for new tokens of tenant tenant-1 only. Whether other tenants get new tokens is not known yet',
          ],
        ],
      )
    })

    test('and without a cached failure, the last exchange is what is known', () => {
      const down = withUpstream('authority', { status: 'failing', since: iso(2), last_error: error('network') })
      assert.equal(
        sentenceOf(down),
        'The last exchange with Entra failed (no connection), and none has been made since.',
      )
    })

    test('a failure of another kind of one tenant does not count', () => {
      const down = withUpstream('authority', { status: 'failing', since: iso(2), last_error: error('timeout') })
      const found = findings({ ...down, failures: [timedOut(1), failure(2)] })
      assert.deepEqual(
        found.map(({ id, affected }) => [id, affected]),
        [
          [
            'tenants timeout',
            'requests for new tokens of tenant tenant-1 only. Whether other tenants get new tokens is not known yet',
          ],
          ['tenants consent', 'requests for new tokens of tenant tenant-2 only'],
        ],
      )
    })
  })

  test('whose response cannot be used for one tenant is said so, with the reason', () => {
    const failures = [failure(1, { code: 'upstream_invalid', reason: 'wrong_audience', codes: [] })]
    assert.match(sentenceOf({ ...well, failures }), /: Entra's response for it cannot be used \(wrong audience\)\.$/)
  })

  test('during an outage, the tenants that fail with it are not further problems', () => {
    const down = withUpstream('authority', { status: 'failing', last_error: error('timeout') })
    const failures = [1, 2, 3].map(nth => failure(nth, { code: 'upstream_unavailable', reason: 'timeout' }))
    assert.deepEqual(idsOf({ ...down, failures }), ['authority'])
    assert.deepEqual(idsOf({ ...well, failures }), ['tenants timeout'])
  })

  const slow: readonly (readonly [average: number | null, status: Upstream['status'], isSlow: boolean])[] = [
    [null, 'unknown', false],
    [1.49, 'ok', false],
    [1.5, 'ok', true],
    [4, 'failing', false],
  ]
  for (const [average_seconds, status, isSlow] of slow)
    test(`${average_seconds} s while it is ${status} is ${isSlow ? '' : 'not '}slow`, () => {
      assert.equal(idsOf(withUpstream('authority', { average_seconds, status })).includes('slow'), isSlow)
    })
})
