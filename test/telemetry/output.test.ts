import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bufferedOutput, type LineSink } from '../../src/telemetry/output.ts'

function outputToFile(t: TestContext): { sink: LineSink; written: () => string } {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  const path = join(folder, 'log')
  const fd = openSync(path, 'w')
  t.after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true, force: true })
  })
  return { sink: bufferedOutput(fd), written: () => readFileSync(path, 'utf8') }
}
const nextTurn = () => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

test('the lines of one turn are written together, in order, at its end', async t => {
  const { sink, written } = outputToFile(t)
  sink.write('one\n')
  await Promise.resolve()
  sink.write('two\n')
  assert.equal(written(), '')
  await nextTurn()
  assert.equal(written(), 'one\ntwo\n')
  sink.write('three\n')
  await nextTurn()
  assert.equal(written(), 'one\ntwo\nthree\n')
})

test('flush writes at once, and nothing twice', async t => {
  const { sink, written } = outputToFile(t)
  sink.flush()
  sink.write('one\n')
  sink.flush()
  assert.equal(written(), 'one\n')
  sink.flush()
  await nextTurn()
  assert.equal(written(), 'one\n')
  sink.write('two\n')
  sink.flush()
  assert.equal(written(), 'one\ntwo\n')
})

test('more than the buffer of a pipe arrives completely, although the process exits at once', () => {
  const module = join(import.meta.dirname, '../../src/telemetry/output.ts')
  const program = `
    import { bufferedOutput } from ${JSON.stringify(module)}
    const sink = bufferedOutput(1)
    for (let i = 0; i < 20000; i++) sink.write('line ' + i + '\\n')
    sink.flush()
    process.exit()`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  const lines = stdout.trimEnd().split('\n')
  assert.deepEqual([lines.length, lines[0], lines.at(-1)], [20_000, 'line 0', 'line 19999'])
})
