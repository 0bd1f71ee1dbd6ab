import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { graph, policyOf, send, startWorld, type TestBroker, until } from '../support/broker.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import {
  auditEvents,
  callerFieldNames,
  callerHashFieldNames,
  userFieldNames,
} from '../../src/telemetry/audit-fields.ts'
import { sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const page = read('docs/audit.md')
const world = await startWorld()
const { emulator, clock } = world

const codes = (text = ''): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '')
/** The cells of the tables below a heading, whose first cell is in backticks or not. */
const tablesBelow = (heading: string): readonly (readonly string[])[] =>
  sectionOf(page, heading)
    .split('\n')
    .filter(line => /^\| (?!event|field|`kind`|---)/.test(line) && !line.startsWith('|---'))
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )

const events = tablesBelow('## Events')
const fieldRows = tablesBelow('## Fields')
const shapes = new Map(
  fieldRows.filter(cells => cells.length === 2).map(([event = '', fields = '']) => [event, fields]),
)
const meanings = new Map(
  fieldRows.filter(cells => cells.length === 3).map(([field = '', type = '']) => [codes(field)[0] ?? '', type]),
)

/** What causes each event. */
type Occasion = (broker: TestBroker, t: TestContext) => Promise<unknown>
const occasions: Readonly<Record<string, readonly Occasion[]>> = {
  '`token.issued`': [
    broker => broker.requestToken(),
    async broker => (await broker.requestToken(), broker.requestToken()),
  ],
  '`token.issued`, repeated': [
    async broker => {
      const token = await emulator.mintCallerToken()
      for (let nth = 0; nth < 3; nth++) await broker.requestToken(undefined, { token })
      await broker.service.close()
    },
  ],
  '`token.denied`': [broker => broker.requestToken({ tenant: 'nowhere', scope: graph })],
  '`token.failed`': [
    broker => (emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' }), broker.requestToken()),
    broker => (emulator.fault({ kind: 'throttled', at: 'token' }), broker.requestToken()),
    broker => (emulator.fault({ kind: 'reset', at: 'identity' }), broker.requestToken()),
  ],
  '`token.refresh_failed`': [
    async broker => {
      await broker.requestToken()
      clock.advance(2700)
      emulator.fault({ kind: 'aadsts', code: 7000229, at: 'token' })
      await broker.requestToken()
      await until('the failed refresh', () => broker.events('token.refresh_failed').length > 0)
    },
  ],
  '`caller.refused`': [
    broker => broker.requestToken(undefined, { token: 'nonsense' }),
    broker => (emulator.fault({ kind: 'server-error', at: 'callers' }), broker.requestToken()),
  ],
  '`caller.refused`, repeated': [
    async broker => {
      for (let nth = 0; nth < 3; nth++) await broker.requestToken(undefined, { token: 'nonsense' })
      await broker.service.close()
    },
  ],
  '`operation.denied`': [async broker => broker.get('/health', { token: await emulator.mintCallerToken() })],
  '`tokens.purged`': [
    broker => purge(broker, 'tenant=contoso&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&application=default'),
    broker => purge(broker, 'all=true'),
  ],
  '`policy.loaded`': [
    async (broker, t) => {
      await replacePolicy(t, JSON.stringify({ ...policy, deny: [{ tenants: ['contoso'] }] }))
      await broker.service.reload()
    },
  ],
  '`policy.refused`': [async broker => broker.service.reload()],
}

async function purge(broker: TestBroker, query: string): Promise<unknown> {
  const authorization = `Bearer ${await emulator.mintCallerToken({ sub: 'janitor' })}`
  const { status } = await send(`${broker.url}/tokens?${query}`, { method: 'DELETE', headers: { authorization } })
  return assert.equal(status, 200)
}

/** The usual policy, with a caller who may purge. */
const policy = {
  ...policyOf(emulator),
  rules: [
    ...(policyOf(emulator) as { rules: Json[] }).rules,
    { name: 'janitor', callers: [{ issuer: 'emulator', subject: 'janitor' }], permissions: ['purge'] },
  ],
}

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const policyFile = join(folder, 'policy.yaml')
async function replacePolicy(t: TestContext, text: string): Promise<void> {
  await writeFile(policyFile, text)
  t.after(() => rm(policyFile, { force: true }))
}

describe('docs/audit.md', () => {
  test('has every event, and no other', () => {
    assert.deepEqual(new Set(events.flatMap(([event]) => codes(event))), new Set(auditEvents))
    assert.deepEqual(new Set(shapes.keys()), new Set(['every event', ...Object.keys(occasions)]))
  })

  test('explains every field, and no other', () => {
    const named = new Set([...shapes.values()].flatMap(codes))
    assert.deepEqual([...meanings.keys()].toSorted(), [...named].toSorted())
  })

  test('has every kind of caller of the sources with its fields', () => {
    const listed = tablesBelow('## Callers').map(([kind, members]) => [codes(kind)[0], codes(members)])
    // Only an agent has the last one.
    const { secret: _, ...ofBroker } = callerFieldNames
    const hashes: Readonly<Record<string, string>> = callerHashFieldNames
    const inSources = Object.entries(ofBroker).map(([kind, names]) => {
      const ofUsers = kind === 'jwt' ? userFieldNames : []
      return [kind, [...names, hashes[kind] ?? [], ...ofUsers].flat()]
    })
    assert.deepEqual(listed, inSources)
  })

  for (const [event, all] of Object.entries(occasions))
    for (const [nth, occasion] of all.entries())
      test(`${event} has the documented fields (${nth + 1})`, async t => {
        const summary = event.includes('repeated')
        const broker = await world.broker(t, {
          policy,
          ...(nth > 0 && { secondLevel: new MemoryStore(clock).replica() }),
          environment: { BROKER_POLICY_FILE: policyFile, ...(summary && { BROKER_AUDIT: 'summary' }) },
        })
        await occasion(broker, t)
        const lines = broker.events(codes(event)[0] ?? '').filter(line => 'repeated' in line === summary)
        assert.ok(lines.length > 0, broker.logText())
        for (const line of lines) assertAsDocumented(event, line)
      })
})

function assertAsDocumented(event: string, line: Json): void {
  const [required = '', optional = ''] = (shapes.get(event) ?? '').split('(')
  const must = new Set([...codes(shapes.get('every event')), ...codes(required)])
  const may = new Set([...must, ...codes(optional)])
  const has = new Set(Object.keys(line))
  assert.deepEqual([...must.difference(has)], [], 'documented, but not in the line')
  assert.deepEqual([...has.difference(may)], [], 'in the line, but not documented')
  for (const [field, value] of Object.entries(line)) {
    const type = { text: 'string', number: 'number', object: 'object', list: 'object' }[meanings.get(field) ?? '']
    assert.equal(typeof value, type, field)
    assert.equal(Array.isArray(value), meanings.get(field) === 'list', field)
  }
  const levels = codes(events.find(([name]) => codes(name)[0] === line['event'])?.[1])
  assert.ok(levels.includes(String(line['level'])), String(line['level']))
}
