import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { exchangeReasons } from '../../src/reasons/exchanges.ts'
import { startWorld } from '../support/broker.ts'
import { remedyOf } from '../../web/model/remedies.js'
import type { Failure, Snapshot, Upstream } from '../../web/model/responses.js'
import { findings, verdict } from '../../web/model/verdict.js'
import { decisionAt } from './decisions.ts'
import { readBoard } from './read-board.ts'

const world = await startWorld()
const broker = await world.broker({ after })
await broker.service.warmUp()
await broker.requestToken()
/** What the page reads of a broker that is well. */
const { snapshot: well } = await readBoard(broker, world.clock.now())
const iso = (secondsAgo: number): string => new Date(well.now - secondsAgo * 1000).toISOString()

type LastError = NonNullable<Upstream['last_error']>

/** What `/health` has of an upstream's last error, a second ago. */
const errorOf = (code: LastError['code'], reason: LastError['reason']): LastError => ({
  code,
  reason,
  detail: '',
  upstream_codes: [],
  presented: null,
  system_code: null,
  at: iso(1),
})

const withUpstream = (kind: Upstream['kind'], changes: Partial<Upstream>): Snapshot => ({
  ...well,
  health: {
    ...well.health,
    upstreams: well.health.upstreams.map(each => (each.kind === kind ? { ...each, ...changes } : each)),
  },
})
const failure = (nth: number, changes: Partial<Failure> = {}): Failure => ({
  application: 'default',
  client_id: '30000000-0000-4000-8000-000000000001',
  agent: null,
  agent_id: null,
  tenant: `40000000-0000-4000-8000-00000000000${nth}`,
  tenant_name: `tenant-${nth}`,
  scope: null,
  level: 'tenant',
  code: 'consent_required',
  reason: 'consent',
  codes: [7000229],
  presented: null,
  remedy: `Consent in ${nth}.`,
  since: iso(60 * nth),
  until: iso(-30),
  count: 1,
  ...changes,
})
const sentenceOf = (snapshot: Snapshot) => verdict(findings(snapshot)).sentence
const idsOf = (snapshot: Snapshot) => findings(snapshot).map(({ id }) => id)

describe('the clock', () => {
  const rows: readonly (readonly [offset: number | null, level: string, why: string])[] = [
    [null, 'ok', 'unknown'],
    [4, 'ok', 'the date of a response has whole seconds, and takes time'],
    [-4, 'ok', 'the same, behind'],
    [5, 'attention', 'it drifts'],
    [-119, 'attention', 'callers are tolerated'],
    [120, 'attention', 'nothing was refused yet'],
    [-900, 'attention', 'nothing was refused yet'],
  ]
  for (const [clock_offset_seconds, level, why] of rows)
    test(`${clock_offset_seconds} s ahead is ${level}: ${why}`, () => {
      assert.equal(verdict(findings(withUpstream('authority', { clock_offset_seconds }))).level, level)
    })

  test('comes before what it causes', () => {
    const both = {
      ...withUpstream('authority', { clock_offset_seconds: 900 }),
      failures: [failure(1, { level: 'application', reason: 'assertion' })],
    }
    assert.match(
      sentenceOf(both),
      /^The broker's clock is 15 min ahead of that of Entra, which probably causes the failures below – and 1 other problem\.$/,
    )
    assert.equal(findings(both)[0]?.level, 'failing')
  })

  test('is failing too if a token of the identity is refused as expired', () => {
    const last_error = errorOf('identity_unavailable', 'expired')
    const down = withUpstream('identity', { status: 'failing', last_error })
    const upstreams = down.health.upstreams.map(each =>
      each.kind === 'authority' ? { ...each, clock_offset_seconds: 300 } : each,
    )
    const [clock] = findings({ ...down, health: { ...down.health, upstreams } })
    assert.deepEqual([clock?.id, clock?.level], ['clock', 'failing'])
  })

  test('that is a minute away is not what Entra refuses', () => {
    const both = {
      ...withUpstream('authority', { clock_offset_seconds: 60 }),
      failures: [failure(1, { level: 'application', reason: 'assertion' })],
    }
    const clock = findings(both).find(({ id }) => id === 'clock')
    assert.equal(clock?.level, 'attention')
    assert.match(clock.sentence, /, and tokens can be refused if it grows$/)
  })

  test('with a failure that it does not cause is no more than attention', () => {
    const both = { ...withUpstream('authority', { clock_offset_seconds: 900 }), failures: [failure(1)] }
    assert.equal(findings(both).find(({ id }) => id === 'clock')?.level, 'attention')
  })
})

describe('Entra', () => {
  const error = (reason: 'network' | 'timeout' | 'server_error' | 'throttled' | 'unreadable') =>
    ({
      code: 'upstream_unavailable',
      reason,
      detail: '',
      upstream_codes: [],
      presented: null,
      system_code: null,
      at: iso(1),
    }) as const
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
      assert.match(sentenceOf(withUpstream('authority', { status: 'failing', ...changes })), sentence),
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

describe('tenants', () => {
  test('with the same reason are one finding, with each remedy once', () => {
    const [found] = findings({ ...well, failures: [1, 2, 2].map(nth => failure(nth)) })
    assert.equal(
      found?.sentence,
      '2 tenants get no new tokens (tenant-1 and tenant-2): admin consent is missing or was revoked (AADSTS7000229)',
    )
    assert.deepEqual(found?.actions, ['Consent in 1.', 'Consent in 2.'])
    assert.equal(found?.since, iso(120), 'since the first of them')
  })

  test('of which there are many: three remedies, and where the others are', () => {
    const [found] = findings({ ...well, failures: [1, 2, 3, 4, 5].map(nth => failure(nth)) })
    assert.match(found?.sentence ?? '', /^5 tenants get no new tokens \(tenant-1, tenant-2, tenant-3 and 2 more\)/)
    assert.deepEqual(found?.actions.at(-1), 'The table of failures, below, has the others.')
  })

  test('of which more are failing than were read: at least so many', () => {
    const [found] = findings({ ...well, failures: [1, 2].map(nth => failure(nth)), hasMoreFailures: true })
    assert.match(found?.sentence ?? '', /^At least 2 tenants get no new tokens/)
  })

  test('with different reasons are several findings', () => {
    const failures = [failure(1), failure(2, { reason: 'request', code: 'upstream_rejected' })]
    assert.deepEqual(idsOf({ ...well, failures }), ['tenants consent', 'tenants request'])
  })
})

test('all is never well while a check of /health is failing, whatever else is known', () => {
  for (const kind of ['identity', 'authority', 'issuer'] as const)
    for (const reason of ['federation', 'assertion', 'network', 'keys', 'internal_error'] as const) {
      const code = reason === 'federation' || reason === 'assertion' ? 'federation_misconfigured' : 'internal_error'
      const last_error = {
        code,
        reason,
        detail: 'no',
        upstream_codes: [],
        presented: null,
        system_code: null,
        at: iso(1),
      } as const
      const { word, sentence } = verdict(findings(withUpstream(kind, { status: 'failing', last_error })))
      assert.notEqual(word, 'All well', `${kind} ${reason}`)
      assert.doesNotMatch(sentence, /undefined|null/)
    }
})

test('a wrong federated credential is one problem, with and without the cached failure of the application', () => {
  const last_error = errorOf('federation_misconfigured', 'federation')
  const down = withUpstream('authority', { status: 'failing', last_error })
  assert.match(sentenceOf(down), /^The federated credential does not match the managed identity, so/)
  const failures = [failure(1, { level: 'application', reason: 'federation', tenant: null })]
  assert.match(
    sentenceOf({ ...down, failures }),
    /^The federated credential of application default does not match [^–]*$/,
  )
})

test('what is failing comes before what needs attention, and that before what is for information', () => {
  const all = {
    ...withUpstream('authority', { average_seconds: 3 }),
    failures: [failure(1)],
    decisions: [decisionAt(well.now)],
  }
  assert.deepEqual(idsOf(all), ['tenants consent', 'slow', 'denied'])
  assert.match(sentenceOf(all), / – and 1 other problem\.$/)
})

test('every reason with which an exchange can fail has a remedy of its own', () => {
  const general = remedyOf('not_found')
  const reasons = Object.values(exchangeReasons).flatMap(each => Object.keys(each))
  const without = reasons.filter(reason => remedyOf(reason as Parameters<typeof remedyOf>[0]) === general)
  assert.deepEqual(without, [])
})
