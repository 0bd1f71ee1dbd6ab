import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { failureLevel, failurePeriodMs, type FailureLevel } from '../../src/broker/failure-rules.ts'
import { BrokerError, type ErrorCode, errorTable } from '../../src/errors.ts'
import { lookUpCodes } from '../../src/outbound/entra-codes.ts'
import { startWorld, type TestBroker } from '../support/broker.ts'
import { reasonsInSources } from './docs-reasons.ts'
import { blocksOf, rowsOf, sectionOf } from './docs-tables.ts'
import { read } from './sources.ts'

const page = read('docs/errors.md')
const world = await startWorld()
const { emulator } = world

describe('docs/errors.md is true', () => {
  test('it lists every code, with its status, its title and whether it can pass by itself, in order', () => {
    const listed = rowsOf(sectionOf(page, '## Codes')).map(([code, status, title, retryAfter]) => ({
      code,
      status: Number(status),
      title,
      retryable: retryAfter === 'yes',
    }))
    assert.deepEqual(
      listed,
      Object.entries(errorTable).map(([code, row]) => ({ code, ...row })),
    )
  })

  test('it lists every reason that the broker can give, below its code, once, and no other', () => {
    const listed = [...sectionOf(page, '## Reasons').matchAll(/^### (\w+)$/gm)].flatMap(([heading, code]) =>
      rowsOf(sectionOf(page, heading)).map(([reason]) => `${code} ${reason}`),
    )
    assert.deepEqual(listed.toSorted(), [...reasonsInSources()].toSorted())
  })

  test('every reason says what it means and what to do', () => {
    for (const row of rowsOf(sectionOf(page, '## Reasons')).filter(cells => cells.length === 3))
      assert.ok(
        row.every(cell => cell !== ''),
        row.join(' | '),
      )
  })

  test('it lists every AADSTS code that is known, with its class, and no other', () => {
    const source = read('src/outbound/entra-codes.ts').split('const codeTable')[1] ?? ''
    const known = [...source.matchAll(/(?<=[ (])\d{4,9}(?=[,)])/g)].map(([code]) => Number(code))
    assert.ok(known.length > 40)
    const classOf = (code: number) => `${code} ${lookUpCodes([code])?.class}`
    const listed = [...page.matchAll(/^\| (\d{4,9}) \| `(\w+)` \|/gm)].map(([, code, kind]) => `${code} ${kind}`)
    assert.deepEqual(listed.toSorted(), known.map(classOf).toSorted())
  })
})

describe('it says for what and for how long a failure is remembered', () => {
  const table = rowsOf(sectionOf(page, '## Remembered failures'))
  const errorOf = (of: ErrorCode, reason: string, codes: readonly number[] = []) =>
    new BrokerError(of, 'no', { reason, upstream: { codes } })
  const wording: Readonly<Record<FailureLevel, RegExp>> = {
    application: /^the application, /,
    tenant: /^the application in this tenant/,
    key: /^application, tenant and scope/,
  }
  const passing = (reason: string) => !['circuit_open', 'withdrawn', 'min_expires_in'].includes(reason)

  test('of every code that is remembered, and of the identity that remembers its own', () => {
    const remembered = [...reasonsInSources()].flatMap(pair => {
      const [code = '', reason = ''] = pair.split(' ')
      return failureLevel(errorOf(code as ErrorCode, reason), false) ? [code] : []
    })
    assert.deepEqual(new Set(table.map(([code]) => code)), new Set([...remembered, 'identity_unavailable']))
  })

  for (const [code, what = '', time = ''] of table.filter(([of]) => of !== 'identity_unavailable'))
    test(`${code}: ${what}, ${time}`, () => {
      const pairs = [...reasonsInSources()].map(pair => pair.split(' '))
      for (const [, reason = ''] of pairs.filter(([each, word = '']) => each === code && passing(word))) {
        const error = errorOf(code as ErrorCode, reason)
        const level = failureLevel(error, false)
        assert.match(what, wording[level ?? 'key'])
        if (errorTable[error.code].retryable) {
          const most = [1, 2, 3, 9].map(failures => failurePeriodMs('key', error, failures, () => 1) / 1000)
          assert.ok(time.includes(`${most.slice(0, 3).join(' s, ')} s … ${most[3]} s`), most.join())
        } else {
          const [least, most] = [0, 1].map(random => failurePeriodMs(level ?? 'key', error, 1, () => random) / 1000)
          assert.ok(time.startsWith(`${least} to ${most} s`), `${least} to ${most}`)
        }
      }
      for (const [number] of what.matchAll(/\d{5,}/g)) {
        const usual = failureLevel(errorOf(code as ErrorCode, 'x'), false)
        assert.notEqual(failureLevel(errorOf(code as ErrorCode, 'x', [Number(number)]), false), usual, number)
      }
    })

  test('with every AADSTS code that is remembered for something else than others of its kind', () => {
    const named = new Set(
      [
        ...table
          .flat()
          .join(' ')
          .matchAll(/(\d{5,})/g),
      ].map(([, number]) => Number(number)),
    )
    const source = read('src/broker/failure-rules.ts')
    const moved = [...source.matchAll(/^ {2}\[(\d+), '/gm)].map(([, number]) => Number(number))
    assert.ok(moved.length > 3)
    assert.deepEqual(named, new Set(moved))
  })
})

/** What makes each of the page's log lines. */
const occasions: Readonly<Record<string, (broker: TestBroker) => unknown>> = {
  federation: broker => (emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' }), broker.ask()),
  redirect: broker => (emulator.fault({ kind: 'redirect', at: 'token' }), broker.ask()),
  throttled: broker => (emulator.fault({ kind: 'throttled', at: 'token' }), broker.ask()),
  refused: broker => broker.ask(),
  unknown_target: broker => broker.ask({ tenant: 'unknown', scope: 'https://graph.microsoft.com/.default' }),
  audience: async broker => broker.ask(undefined, { token: await emulator.mintCallerToken({}, { audience: 'x' }) }),
}
const anotherIdentity = { BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-0000000000ff' }

/** A line without what differs each time. */
function stable({ time, request_id: id, policy, upstream, ...rest }: Json): Json {
  assert.ok([time, id, policy].every(value => typeof value === 'string'))
  return { ...rest, ...(upstream !== undefined && { upstream: { codes: (upstream as Json)['codes'] } }) }
}

describe('its log lines are those that the broker writes', () => {
  const lines = blocksOf(page, 'json').map(block => JSON.parse(block) as Json)
  test('one for each occasion', () => {
    assert.deepEqual(lines.map(line => String(line['reason'])).toSorted(), Object.keys(occasions).toSorted())
  })
  for (const line of lines)
    test(`${String(line['outcome'])}, ${String(line['reason'])}`, async t => {
      const reason = String(line['reason'])
      const broker = await world.broker(t, { environment: reason === 'refused' ? anotherIdentity : {} })
      await occasions[reason]?.(broker)
      const [written = {}] = broker.events(String(line['event']))
      assert.deepEqual(stable(line), stable(written))
      assert.deepEqual(Object.keys(line), Object.keys(written))
    })
})
