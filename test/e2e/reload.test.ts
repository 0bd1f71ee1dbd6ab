import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, type TestContext, test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { graph, policyOf, send, until } from '../support/broker.ts'
import { environmentOf, serve } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())

async function start(t: TestContext) {
  const environment = await environmentOf(t, emulator)
  const broker = await serve(t, environment)
  const token = await emulator.mintCallerToken()
  const status = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ tenant: 'contoso', scope: graph })
    return (await send(`${broker.url}/tokens`, { method: 'POST', headers, body })).status
  }
  const write = (changes: object) =>
    writeFile(environment['BROKER_POLICY_FILE'] ?? '', JSON.stringify({ ...policyOf(emulator), ...changes }))
  await until('ready', async () => (await status()) === 200, 20)
  return { broker, status, write }
}

const denial = { deny: [{ tenants: ['contoso'] }] }

test('the policy is read again when its file changes', async t => {
  const { broker, status, write } = await start(t)
  await write(denial)
  // The line may arrive after the response that it explains.
  const reported = () => broker.messages().filter(message => message === 'policy active').length
  await until('denied', async () => (await status()) === 403)
  await until('the first line', () => reported() === 1)
  await write({})
  await until('granted', async () => (await status()) === 200)
  await until('the second line', () => reported() === 2)
})

test('SIGHUP reads it at once, and reports an error again that was reported before', async t => {
  const { broker, status, write } = await start(t)
  const refusals = () => broker.messages().filter(message => message.startsWith('the new policy is invalid')).length
  await write({ rules: [] })
  await until('the error', () => refusals() === 1, 20)
  broker.signal('SIGHUP')
  await until('the error again', () => refusals() === 2, 20)
  assert.equal(await status(), 200)
  await write(denial)
  broker.signal('SIGHUP')
  await until('denied', async () => (await status()) === 403, 20)
  assert.equal(broker.hasExited(), false)
})
