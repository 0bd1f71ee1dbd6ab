import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Caller } from '../../src/broker/authentication/authenticate.ts'
import type { Grant } from '../../src/broker/authorization/authorize.ts'
import { createAudit } from '../../src/telemetry/audit.ts'
import { createLogs } from '../../src/telemetry/log.ts'
import { fingerprint } from '../../src/broker/lib/fingerprint.ts'
import { membersOf, membersOfJson } from '../../src/broker/lib/json-members.ts'
import { BrokerError } from '../../src/errors.ts'
import { callerWith, grantFor, tokenRequest } from '../support/callers.ts'
import { noon } from '../support/clock.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
const secret = 'a-secret-of-the-broker-itself'
const request = { requestId: 'r-1', endpoint: 'tokens', address: '192.0.2.7' }
const token = { token: 'x', fingerprint: 'abc', traceId: undefined, correlationId: undefined }
const denial = new BrokerError('not_permitted', 'x', { reason: 'no_rule' })

/** The caller of an issued, a repeated and a denied line, and the whole text. */
async function linesFor(name: string) {
  const caller = await callerWith({ sub: `system:serviceaccount:${name}:worker` })
  const written: string[] = []
  const sink = { write: (line: string) => void written.push(line), flush: () => undefined }
  const options = { mode: 'summary', now: () => noon, policyVersion: () => 'x' } as const
  const audit = createAudit(createLogs('info', sink, [secret]), sink, options)
  for (const how of ['miss', 'hit'] as const) audit.issued(request, grantOf(caller), token, how)
  audit.refused(request, caller, tokenRequest(), denial)
  audit.close()
  const callers = written.map(line => membersOf(membersOfJson(line)['caller']))
  return { text: written.join(''), callers, subject: caller.subject }
}

/** A grant of a caller whom no rule of {@link grantFor} names. */
const grantOf = (caller: Caller) => Object.create(grantFor(), { caller: { value: caller } }) as Grant

const rows: readonly (readonly [what: string, name: string, subject: string, isWhole: boolean])[] = [
  ['a branch that begins like a JWT', 'eyJohnathan', 'eyJohnathan', true],
  ['two parts', 'eyJohnathan.main', 'eyJohnathan.main', true],
  ['a JWT', ` ${jwt} `, ' [redacted jwt] ', false],
  ['a secret of the broker', secret, '[redacted]', false],
]
for (const [what, name, shown, isWhole] of rows)
  test(`a subject with ${what} is ${isWhole ? 'whole' : 'redacted, and has a hash'} in every line`, async () => {
    const { callers, subject } = await linesFor(name)
    assert.equal(callers.length, 3)
    for (const { subject: written, subject_sha256: sha256 } of callers) {
      assert.equal(written, `system:serviceaccount:${shown}:worker`)
      assert.equal(sha256, isWhole ? undefined : fingerprint(subject))
    }
  })

describe('two subjects never look alike', () => {
  const others = (text: string) => [`${text}a`, `${text}b`]
  for (const [what, names] of [
    ['that differ after 256 characters', others('x'.repeat(300))],
    ['whose difference is redacted', others(jwt)],
    ['one of which imitates a redacted one', [jwt, '[redacted jwt]']],
  ] as const)
    test(what, async () => {
      const [one, two] = [await linesFor(names[0] ?? ''), await linesFor(names[1] ?? '')]
      assert.notDeepEqual(one.callers, two.callers)
    })

  for (const [length, isWhole] of [
    [256, true],
    [257, false],
  ] as const)
    test(`a subject of ${length} characters ${isWhole ? 'is whole' : 'has a hash'}`, async () => {
      const around = 'system:serviceaccount::worker'.length
      const { callers } = await linesFor('x'.repeat(length - around))
      for (const caller of callers) {
        assert.equal(String(caller['subject']).length, 256)
        assert.equal('subject_sha256' in caller, !isWhole)
      }
    })

  test('a JWT across the cut leaves no part of itself', async () => {
    const { text } = await linesFor(`${'x '.repeat(105)}${jwt}`)
    assert.ok(!text.includes('eyJ'), text)
  })
})

test('bidirectional controls in a subject are escaped in every line', async () => {
  const name = 'a\u202eb\u2066c\u0085d'
  const { text, callers } = await linesFor(name)
  assert.doesNotMatch(text, /[\u202e\u2066\u0085]/)
  assert.equal(text.split('a\\u202eb\\u2066c\\u0085d').length, 4)
  for (const { subject } of callers) assert.equal(subject, `system:serviceaccount:${name}:worker`)
})
