import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exchangeReasons } from '../../src/reasons/exchanges.ts'
import { remedyOf } from '../../web/model/remedies.js'
import type { Snapshot } from '../../web/model/responses.js'
import { findings, verdict } from '../../web/model/verdict.js'
import { decisionAt } from './decisions.ts'
import { wellBoard } from './well-board.ts'

const { well, iso, errorOf, withUpstream, failure } = await wellBoard()
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
