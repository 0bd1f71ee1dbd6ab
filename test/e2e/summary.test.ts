import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startEmulator } from '../../emulator/emulator.ts'
import { graph, parseObject, send, until } from '../support/broker.ts'
import { environmentOf, serve } from './process.ts'

const emulator = await startEmulator()
after(() => emulator.close())

test('with BROKER_AUDIT=summary the log has every token issued, after SIGTERM under load', async t => {
  const environment = await environmentOf(t, emulator, { BROKER_AUDIT: 'summary', BROKER_DRAIN_SECONDS: '1' })
  const broker = await serve(t, environment)
  const token = await emulator.mintCallerToken()
  const ask = (tenant: string) =>
    send(`${broker.url}/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant, scope: graph }),
    })
  await until('ready', async () => (await ask('contoso')).status === 200, 20)
  let issued = 0
  const logged = () =>
    broker
      .stdout()
      .split('\n')
      .map(parseObject)
      .filter(({ event }) => event === 'token.issued')
      .reduce((sum, { repeated }) => sum + (typeof repeated === 'number' ? repeated : 1), 0)
  const load = async (tenant: string) => {
    for (;;) {
      const reply = await ask(tenant).catch(() => undefined)
      if (reply?.status !== 200) return
      issued++
    }
  }
  const running = ['contoso', 'fabrikam', 'contoso', 'fabrikam'].map(load)
  await until('some load', () => issued > 100, 20)
  broker.signal('SIGTERM')
  await Promise.all(running)
  assert.equal(await broker.exited, 0)
  assert.equal(logged(), issued + 1)
})
