import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { failureLevel } from '../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import { errorTable } from '../../src/errors.ts'
import { aadstsCodes } from '../../src/outbound/entra/aadsts-codes.ts'
import { startWorld, type TestBroker } from '../support/broker.ts'
import { reasons, refusedWith } from '../support/reasons.ts'
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
      Object.entries(errorTable).map(([code, { status, title, retryable }]) => ({ code, status, title, retryable })),
    )
  })

  test('it lists every reason that the broker can give, below its code, once, and no other', () => {
    const listed = [...sectionOf(page, '## Reasons').matchAll(/^### (\w+)$/gm)].flatMap(([heading, code]) =>
      rowsOf(sectionOf(page, heading)).map(([reason]) => `${code} ${reason}`),
    )
    const known = reasons.map(({ code, reason }) => `${code} ${reason}`)
    assert.deepEqual(listed.toSorted(), known.toSorted())
  })

  test('it has the meaning and the remedy of every reason, as in the table', () => {
    const plain = (text = '') => text.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1')
    for (const { code, reason, meaning: means, remedy } of reasons) {
      const row = rowsOf(sectionOf(page, `### ${code}`)).find(([word]) => word === reason)
      assert.deepEqual(row?.slice(1).map(plain), [means, remedy], `${code} ${reason}`)
    }
  })

  test("it names the reason of a code that an agent's broker returned", () => {
    assert.match(sectionOf(page, '## Reasons'), /reason `broker` under any code/)
  })
})

test('docs/aadsts.md lists every known AADSTS code, with its error code and where it is cached, and no other', () => {
  const known = [...aadstsCodes].map(([code, row]) => [String(code), row.class, failureLevel(refusedWith([code]))])
  const listed = [...read('docs/aadsts.md').matchAll(/^\| (\d{4,9}) \| `(\w+)` \| (\w+) \| .+ \| .+ \|$/gm)]
  assert.deepEqual(new Set(listed.map(([, ...cells]) => cells.join(' '))), new Set(known.map(cells => cells.join(' '))))
  assert.equal(listed.length, known.length)
})

/** What causes each of the page's log lines. */
const occasions: Readonly<Record<string, (broker: TestBroker) => unknown>> = {
  federation: broker => (emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' }), broker.requestToken()),
  redirect: broker => (emulator.fault({ kind: 'redirect', at: 'token' }), broker.requestToken()),
  throttled: broker => (emulator.fault({ kind: 'throttled', at: 'token' }), broker.requestToken()),
  refused: broker => broker.requestToken(),
  unknown_target: broker => broker.requestToken({ tenant: 'unknown', scope: 'https://graph.microsoft.com/.default' }),
  audience: async broker =>
    broker.requestToken(undefined, { token: await emulator.mintCallerToken({}, { audience: 'x' }) }),
}
const anotherIdentity = { BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-0000000000ff' }

/** A line without the parts that differ each time. */
function stable({ time, request_id: id, policy, upstream, unverified, ...rest }: Json): Json {
  assert.ok([time, id, policy].every(value => typeof value === 'string'))
  return {
    ...rest,
    ...(upstream !== undefined && { upstream: { codes: (upstream as Json)['codes'] } }),
    ...(unverified !== undefined && { unverified: { ...(unverified as Json), iss: '', kid: '' } }),
  }
}

describe('its log lines are those that the broker writes', () => {
  const lines = blocksOf(page, 'json').map(block => JSON.parse(block) as Json)
  test('one line for each cause', () => {
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
