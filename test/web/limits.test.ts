import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { startWorld } from '../support/broker.ts'
import type { Decision, Snapshot } from '../../web/model/responses.js'
import { findings, verdict } from '../../web/model/verdict.js'
import { decisionAt } from './decisions.ts'
import { readBoard } from './read-board.ts'

const world = await startWorld()
const broker = await world.broker({ after })
await broker.service.warmUp()
/** What the page reads of a broker that is well. */
const { snapshot: well } = await readBoard(broker, world.clock.now())
const iso = (secondsAgo: number): string => new Date(well.now - secondsAgo * 1000).toISOString()
const [erp, crm] = [
  { kind: 'apiKey', key: 'erp' },
  { kind: 'apiKey', key: 'crm' },
]
const decision = (changes: Partial<Decision> = {}) => decisionAt(well.now, changes)
const limited = (caller: Readonly<Record<string, string>>, secondsAgo = 10, changes: Partial<Decision> = {}) =>
  decision({
    time: iso(secondsAgo),
    outcome: 'failed',
    code: 'rate_limited',
    reason: 'requests',
    caller,
    rule: 'billing',
    limit: { count: 60, seconds: 60 },
    ...changes,
  })
const ofTenant = (name: string, changes: Partial<Decision> = {}) =>
  limited(erp, 10, {
    reason: 'tenant',
    tenant: name,
    tenant_name: name,
    limit: { count: 100, seconds: 3600 },
    ...changes,
  })
const withDecisions = (...decisions: readonly Decision[]): Snapshot => ({ ...well, decisions })

describe('a caller or a tenant above its limit is limited, with the limit and with what was refused', () => {
  const rows: readonly (readonly [decisions: readonly Decision[], sentence: string, rate: string, word: string])[] = [
    [
      [limited(erp)],
      'The caller API key erp, rule “billing”, is limited to 60 requests per minute',
      '1 in the last minute',
      '1 caller limited',
    ],
    [
      [limited(erp), limited(erp), limited(erp, 61)],
      'The caller API key erp, rule “billing”, is limited to 60 requests per minute',
      '2 in the last minute',
      '1 caller limited',
    ],
    [
      [limited(erp, 61)],
      'The caller API key erp, rule “billing”, is limited to 60 requests per minute',
      '1 in the last 5 minutes',
      '1 caller limited',
    ],
    [
      [limited(erp), limited(crm)],
      '2 callers (API key erp and API key crm) are limited to 60 requests per minute each',
      '2 in the last minute',
      '2 callers limited',
    ],
    [
      [limited(erp), limited(crm, 10, { limit: { count: 5, seconds: 1 } })],
      '2 callers (API key erp and API key crm) are limited: more requests than its rule allows',
      '2 in the last minute',
      '2 callers limited',
    ],
    [
      [limited(erp, 10, { reason: 'exchanges', limit: { count: 1, seconds: 1 } })],
      'The caller API key erp, rule “billing”, is limited to 1 new token per second',
      '1 in the last minute',
      '1 caller limited',
    ],
    [
      [ofTenant('contoso'), ofTenant('contoso', { caller: crm })],
      'Tenant contoso is limited to 100 new tokens per hour',
      '2 in the last minute',
      '1 tenant limited',
    ],
    [
      [ofTenant('contoso'), ofTenant('fabrikam')],
      '2 tenants (contoso and fabrikam) are limited to 100 new tokens per hour each',
      '2 in the last minute',
      '2 tenants limited',
    ],
  ]
  for (const [decisions, sentence, rate, word] of rows)
    test(`${sentence}: ${rate}`, () => {
      const [found, ...others] = findings(withDecisions(...decisions))
      assert.deepEqual(others, [])
      assert.deepEqual(
        [found?.sentence, found?.word, found?.level, found?.component],
        [sentence, word, 'attention', 'policy'],
      )
      assert.ok(found?.affected.endsWith(` above the limit (${rate})`), String(found?.affected))
    })

  test('at least so many, if there are more than were read', () => {
    const [found] = findings({ ...withDecisions(limited(erp)), hasMoreDecisions: true })
    assert.match(found?.affected ?? '', /\(at least 1 in the last minute\)$/)
  })

  test('the beginning is unknown, if there are more than were read', () => {
    const all = withDecisions(limited(erp), decision())
    assert.deepEqual(
      findings(all).map(({ since }) => since),
      [iso(10), iso(10)],
    )
    const cut = findings({ ...all, hasMoreDecisions: true })
    assert.deepEqual(
      cut.map(({ since }) => since),
      [undefined, undefined],
    )
    assert.equal(cut.find(({ id }) => id === 'denied')?.affected, 'at least 1 request of API key erp')
  })

  test('a limit of a tenant affects every caller of that tenant', () => {
    const [found] = findings(withDecisions(ofTenant('contoso', { remedy: 'Let the operator raise it.' })))
    assert.equal(found?.affected, 'requests of every caller for contoso above the limit (1 in the last minute)')
    assert.match(found.actions[0] ?? '', /`tenantLimit`/)
  })

  test('only the last five minutes count', () => {
    assert.deepEqual(findings(withDecisions(limited(erp, 301))), [])
    assert.deepEqual(
      findings(withDecisions(limited(erp, 299))).map(({ id }) => id),
      ['limited requests'],
    )
  })
})

describe('denials and a full queue', () => {
  test('denials are a notice: all is well', () => {
    const found = findings(withDecisions(decision()))
    assert.equal(verdict(found).word, 'All well')
    assert.equal(found[0]?.sentence, 'The caller API key erp was denied by the policy in the last 5 minutes')
  })

  test('a full queue is failing', () => {
    const found = findings(withDecisions(decision({ outcome: 'failed', code: 'overloaded', reason: 'queue' })))
    assert.equal(verdict(found).level, 'failing')
    assert.deepEqual([found[0]?.component, found[0]?.affected], ['replica', '1 request of API key erp'])
  })
})
