import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { errorTable } from '../../src/errors.ts'
import { lookUpCodes } from '../../src/outbound/entra/aadsts-codes.ts'
import { startWorld, type TestBroker } from '../support/broker.ts'
import { reasonsInSources } from '../contract/docs-reasons.ts'
import { blocksOf, rowsOf, sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

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
    const source = read('src/outbound/entra/aadsts-codes.ts').split('const codeTable')[1] ?? ''
    const known = [...source.matchAll(/(?<=[ (])\d{4,9}(?=[,)])/g)].map(([code]) => Number(code))
    assert.ok(known.length > 40)
    const classOf = (code: number) => `${code} ${lookUpCodes([code])?.class}`
    const listed = [...page.matchAll(/^\| (\d{4,9}) \| `(\w+)` \|/gm)].map(([, code, kind]) => `${code} ${kind}`)
    assert.deepEqual(listed.toSorted(), known.map(classOf).toSorted())
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
