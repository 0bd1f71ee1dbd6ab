import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { graph, send, until } from '../support/broker.ts'
import { environmentOf, run, serve } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())

/** The second address in the log: the main listener comes first. */
async function managementOf(broker: { readonly messages: () => readonly string[] }): Promise<string> {
  const addresses = () => broker.messages().flatMap(message => /listening at (https?:\/\/\S+)/.exec(message)?.[1] ?? [])
  await until('both listeners', () => addresses().length === 2, 20)
  return addresses()[1] ?? ''
}

test('the management listener is separate, is ready when the broker is, and drains with it', async t => {
  const broker = await serve(t, await environmentOf(t, emulator, { MANAGEMENT_PORT: '0' }))
  const management = await managementOf(broker)
  const readyz = async () => (await send(`${management}/readyz`)).status
  await until('ready', async () => (await readyz()) === 200, 20)
  assert.equal((await send(`${broker.url}/readyz`)).status, 404)
  assert.match((await send(`${management}/metrics`)).text, /^token_broker_ready 1$/m)
  broker.signal('SIGTERM')
  await until('draining', async () => (await readyz()) === 503)
  const { status } = await send(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await emulator.mintCallerToken()}`, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
  })
  assert.equal(status, 200)
  assert.match((await send(`${management}/metrics`)).text, /^token_broker_ready 0$/m)
  assert.equal(await broker.exited, 0)
})

test('a management port in use is reported in one line, with exit code 4, and no listener stays open', async t => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  t.after(() => void other.close())
  const port = String((other.address() as AddressInfo).port)
  const broker = run(t, ['serve'], await environmentOf(t, emulator, { MANAGEMENT_PORT: port }))
  await until('the line', () => broker.stderr() !== '' || broker.hasExited(), 20)
  assert.match(broker.stderr(), new RegExp(`^token-broker: .*port ${port} is already in use.*MANAGEMENT_PORT.*\n$`))
  await until('the end of the process', broker.hasExited, 5)
  assert.equal(await broker.exited, 4)
})
