import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../../src/errors.ts'
import { scrubber } from '../../src/telemetry/log.ts'
import { createRecentDecisions, maxCharacters, maxDecisions } from '../../src/telemetry/recent-decisions.ts'
import { callerWith } from '../support/callers.ts'

const request = { requestId: 'r', endpoint: 'tokens', address: '10.0.0.1' }
const caller = await callerWith({})
const denied = new BrokerError('not_permitted', 'No.', { reason: 'no_rule', remedy: 'Change the policy.' })

function world(secrets: readonly string[] = []) {
  const decisions = createRecentDecisions(scrubber(secrets), () => 1_795_384_800_000)
  const deny = (scope: string, requestId = 'r') =>
    decisions.refused(
      { ...request, requestId },
      caller,
      { tenant: 'contoso', scope, application: 'default', minExpiresIn: 0 },
      denied,
    )
  const all = () => decisions.page({ limit: 1000 }).decisions
  return { ...decisions, deny, all }
}

describe('the last decisions', () => {
  test('are 500: the newest replaces the oldest', () => {
    const { deny, all } = world()
    for (let n = 0; n < maxDecisions + 7; n++) deny('s/.default', `r${n}`)
    const ids = all().map(({ requestId }) => requestId)
    assert.equal(ids.length, maxDecisions)
    assert.deepEqual([ids[0], ids.at(-1)], [`r${maxDecisions + 6}`, 'r7'])
  })

  test('have a weight: long texts replace more of the oldest', () => {
    const { deny, all } = world()
    for (let n = 0; n < maxDecisions; n++) deny(`${'x'.repeat(10_000)}/.default`)
    const weight = all().reduce((sum, decision) => sum + JSON.stringify(decision).length, 0)
    assert.ok(weight <= maxCharacters && all().length > 50, `${weight} characters`)
    deny('s/.default')
    assert.equal(all()[0]?.scope, 's/.default')
  })

  test('what looks like a credential is replaced, also a secret of the configuration', () => {
    const jwt = `eyJ${'a'.repeat(20)}.eyJ${'b'.repeat(20)}.${'c'.repeat(20)}`
    const { deny, all } = world(['s3cret-of-the-identity'])
    for (const text of [jwt, `tb_${'k'.repeat(50)}`, 's3cret-of-the-identity']) deny(`${text}/.default`)
    const text = JSON.stringify(all())
    assert.equal(all().length, 3)
    assert.doesNotMatch(text, /aaaaaaaa|kkkkkkkk|s3cret/)
    assert.match(text, /redacted/)
  })

  test('a remedy of a denial is not listed, that of a failure is', () => {
    const { refused, deny, all } = world()
    deny('s/.default')
    const failed = new BrokerError('consent_required', 'No.', {
      reason: 'consent',
      remedy: 'Consent.',
      upstream: { codes: [65001] },
    })
    refused(
      request,
      caller,
      { tenant: 'contoso', scope: 's/.default', application: 'default', minExpiresIn: 0 },
      failed,
    )
    const shown = all().map(({ outcome, remedy, codes }) => [outcome, remedy, codes])
    assert.deepEqual(shown, [
      ['failed', 'Consent.', [65001]],
      ['denied', undefined, []],
    ])
  })
})
