import assert from 'node:assert/strict'
import { appendFile, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, test } from 'node:test'
import { readSettledFile } from '../../../src/outbound/files/settled-file.ts'

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))

async function timed(path: string) {
  const start = performance.now()
  return { text: await readSettledFile(path, 100), ms: performance.now() - start }
}

test('of a file that is written in place, slowly, a beginning is never returned', async () => {
  const path = join(folder, 'slow')
  await writeFile(path, 'rules ')
  const read = timed(path)
  for (let nth = 0; nth < 3; nth++) {
    await sleep(700)
    await appendFile(path, 'deny ')
  }
  const { text, ms } = await read
  assert.equal(text, 'rules deny deny deny ')
  assert.ok(ms >= 2100)
})

test('a file that was just written is returned after a second without a change', async () => {
  const path = join(folder, 'new')
  await writeFile(path, 'x')
  const { text, ms } = await timed(path)
  assert.equal(text, 'x')
  assert.ok(ms >= 900 && ms < 5000, String(ms))
})

test('a file that was written earlier and renamed is returned at once', async () => {
  const path = join(folder, 'renamed')
  await writeFile(path, 'old')
  await writeFile(`${path}.new`, 'new')
  await utimes(`${path}.new`, 0, Date.now() / 1000 - 60)
  await rename(`${path}.new`, path)
  const { text, ms } = await timed(path)
  assert.equal(text, 'new')
  assert.ok(ms < 900, String(ms))
})

test('a file from a clock that is ahead is returned too', async () => {
  const path = join(folder, 'ahead')
  await writeFile(path, 'x')
  await utimes(path, 0, Date.now() / 1000 + 3600)
  assert.equal((await timed(path)).text, 'x')
})

test('a file that is missing is an error at once', async () => {
  await assert.rejects(readSettledFile(join(folder, 'missing'), 100), { code: 'ENOENT' })
})
