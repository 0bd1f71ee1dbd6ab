import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { until } from '../support/broker.ts'
import { withoutRedis } from '../support/redis-server.ts'

const dev = join(import.meta.dirname, '../../emulator/dev.ts')

test(
  'npm run dev -- --replicas 2 prints lines that show one exchange for all, and a purge that reaches all',
  {
    skip: withoutRedis,
  },
  async t => {
    const child = spawn(process.execPath, ['--disable-sigusr1', dev, '--replicas', '2'], {
      env: { PATH: process.env['PATH'], PORT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const exited = once(child, 'exit')
    t.after(async () => {
      child.kill('SIGTERM')
      await exited
    })
    let text = ''
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await until('the lines to try', () => text.includes('Press Ctrl-C'))
    const line = (start: RegExp): string => text.split('\n').find(each => start.test(each)) ?? assert.fail(text)
    const token = line(/^export MY_OWN_TOKEN=/)
    const shell = async (command: string) =>
      (await promisify(execFile)('sh', ['-c', `${token}; ${command}`], { timeout: 30_000 })).stdout

    const requestAtAll = line(/^for broker in /)
    const first = (await shell(requestAtAll)).trim().split(/\r?\n/)
    assert.deepEqual(first, [
      'cache-status: token-broker; fwd=miss',
      'cache-status: token-broker; fwd=miss, token-broker-shared; hit',
    ])
    const purge = line(/^curl .* -X DELETE /)
    // A replica knows the others once it has heard them for two seconds.
    await until('a purge reaches all', async () => (await shell(purge)).includes('"replicas":"all"'))
    assert.match(await shell(requestAtAll), /^cache-status: token-broker; fwd=miss\r?\n/)
  },
)
