import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { send, until } from '../support/broker.ts'

const dev = join(import.meta.dirname, '../../emulator/dev.ts')

test('npm run dev -- --faults prints the dashboard and its key, and sends requests of which a part fails', async t => {
  const child = spawn(process.execPath, ['--disable-sigusr1', dev, '--faults'], {
    env: { PATH: process.env['PATH'], PORT: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.after(async () => {
    // It stops the broker, which would otherwise go on without it.
    child.kill('SIGTERM')
    await exited
  })
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await until('the text', () => text.includes('Press Ctrl-C'), 60)
  const [, url = '', key = ''] = /^Open the dashboard at (\S+)\/dashboard .+\n\n(tb_\S+)$/m.exec(text) ?? []
  const dashboard = await send(`${url}/dashboard`)
  assert.equal(dashboard.status, 200, text)
  assert.match(String(dashboard.headers['content-type']), /^text\/html/)

  const get = async (path: string) => send(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } })
  const rowsOf = async (path: string, name: string): Promise<readonly Record<string, unknown>[]> => {
    const { status, json, text: body } = await get(path)
    assert.equal(status, 200, body)
    return json[name] as Record<string, unknown>[]
  }
  const namesOf = async (path: string, name: string): Promise<readonly string[]> =>
    [...new Set((await rowsOf(path, name)).map(row => String(row['tenant_name'])))].toSorted((a, b) =>
      a.localeCompare(b),
    )
  await until('tokens of three tenants', async () => (await rowsOf('/cache/entries', 'entries')).length >= 3, 60)
  assert.deepEqual(await namesOf('/cache/entries', 'entries'), ['contoso', 'fabrikam', 'northwind'])
  await until('a failure', async () => (await rowsOf('/cache/failures', 'failures')).length > 0, 60)
  assert.deepEqual(await namesOf('/cache/failures', 'failures'), ['tailspin'])
  const outcomes = async () => new Set((await rowsOf('/decisions', 'decisions')).map(row => row['outcome']))
  await until('denied and failed', async () => (await outcomes()).size === 2, 60)
  assert.deepEqual(await outcomes(), new Set(['denied', 'failed']))
  const purge = await send(`${url}/tokens?tenant=contoso`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${key}` },
  })
  assert.equal(purge.status, 200, purge.text)

  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null], 'the traffic ends with the rest')
})
