import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { graph, sampleCaller, startWorld, type TestBroker } from '../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const start = (t: TestContext) => world.broker(t, { environment: { BROKER_AUDIT: 'summary' } })

/** The tenant and the count of each `token.issued` line. */
const linesOf = (broker: TestBroker) =>
  broker.events('token.issued').map(line => [line['tenant'], line['cache'] ?? line['repeated']])
const contoso = '40000000-0000-4000-8000-000000000001'
const fabrikam = '40000000-0000-4000-8000-000000000002'

test('the first token issued is logged at once, its repetitions on close, and none is lost or logged twice', async t => {
  const broker = await start(t)
  const token = await emulator.mintCallerToken()
  for (let i = 0; i < 7; i++) await broker.requestToken(undefined, { token })
  await broker.requestToken({ tenant: 'fabrikam', scope: graph }, { token })
  assert.deepEqual(linesOf(broker), [
    [contoso, 'miss'],
    [fabrikam, 'miss'],
  ])
  await broker.service.close()
  // One for fabrikam would be a repeat that never was.
  assert.deepEqual(linesOf(broker), [
    [contoso, 'miss'],
    [fabrikam, 'miss'],
    [contoso, 6],
  ])
})

test('repetitions have the times of the first and the last', async t => {
  const broker = await start(t)
  const token = await emulator.mintCallerToken()
  await broker.requestToken(undefined, { token })
  clock.advance(5)
  const first = new Date(clock.now()).toISOString()
  await broker.requestToken(undefined, { token })
  clock.advance(5)
  await broker.requestToken(undefined, { token })
  const last = new Date(clock.now()).toISOString()
  await broker.service.close()
  const line = broker.events('token.issued').at(-1)
  assert.deepEqual([line?.['repeated'], line?.['first'], line?.['last']], [2, first, last])
  assert.deepEqual(line?.['caller'], { kind: 'jwt', ...sampleCaller })
  assert.equal(line?.['msg'], 'token issued repeatedly')
})

test('a new token is logged at once, and repetitions of the old one are not lost', async t => {
  const broker = await start(t)
  const token = await emulator.mintCallerToken({}, { expiresIn: 10_000 })
  for (let i = 0; i < 3; i++) await broker.requestToken(undefined, { token })
  clock.advance(3590)
  for (let i = 0; i < 2; i++) await broker.requestToken(undefined, { token })
  await broker.service.close()
  const lines = broker.events('token.issued')
  assert.deepEqual(
    lines.map(line => line['cache'] ?? line['repeated']),
    ['miss', 'expired', 2, 1],
  )
  assert.notEqual(lines[0]?.['token'], lines[1]?.['token'])
  assert.deepEqual([lines[2]?.['token'], lines[3]?.['token']], [lines[0]?.['token'], lines[1]?.['token']])
})

test('repetitions are logged once a minute', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const broker = await start(t)
  const token = await emulator.mintCallerToken()
  for (let i = 0; i < 3; i++) await broker.requestToken(undefined, { token })
  t.mock.timers.tick(59_999)
  assert.equal(linesOf(broker).length, 1)
  t.mock.timers.tick(1)
  assert.deepEqual(linesOf(broker).at(-1), [contoso, 2])
  t.mock.timers.tick(60_000)
  assert.equal(linesOf(broker).length, 2, 'nothing happened since')
  await broker.requestToken(undefined, { token })
  t.mock.timers.tick(60_000)
  assert.deepEqual(linesOf(broker).at(-1), [contoso, 1])
})

test('every denial is logged', async t => {
  const broker = await start(t)
  for (let i = 0; i < 3; i++) await broker.requestToken({ tenant: 'unknown', scope: graph })
  assert.equal(broker.events('token.denied').length, 3)
})
