import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { importsOf } from '../support/sources.ts'

/** The exit code of a process that loads the module, runs `then`, and would run on for ever; null when a signal ended it. */
async function exitCodeOf(then: string): Promise<unknown> {
  const module = new URL('../../src/service/startup-signals.ts', import.meta.url).href
  const script = `const { handOverSignals } = await import('${module}'); setInterval(() => {}, 1000); ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { timeout: 20_000 })
  const [code] = await once(child, 'exit')
  return code
}

for (const signal of ['SIGTERM', 'SIGINT'])
  test(`${signal} during startup ends the process with exit code 0, also as process 1 of a container`, async () => {
    assert.equal(await exitCodeOf(`process.kill(process.pid, '${signal}')`), 0)
  })

test('after the hand-over it no longer handles signals', async () => {
  const others = `handOverSignals(); process.on('SIGTERM', () => process.exit(7)); process.kill(process.pid, 'SIGTERM')`
  assert.equal(await exitCodeOf(others), 7)
})

test('the command imports it before its other modules', () => {
  assert.equal(importsOf('src/cli.ts')[0], 'src/service/startup-signals.ts')
})
