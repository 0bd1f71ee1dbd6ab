import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { watchFiles } from '../../../src/outbound/files/watch-files.ts'
import { until } from '../../support/broker.ts'

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function watched(t: TestContext, files: readonly string[]) {
  const seen = { changes: 0, failures: 0 }
  const watch = watchFiles(
    files,
    () => seen.changes++,
    () => seen.failures++,
  )
  t.after(watch.close)
  return { seen, watch }
}

test('a file that is written is reported, once for writes in a row', async t => {
  const folder = await folderOf(t)
  const file = join(folder, 'a')
  await writeFile(file, '1')
  const { seen } = watched(t, [file])
  for (let nth = 0; nth < 20; nth++) await writeFile(file, String(nth))
  await until('reported', () => seen.changes > 0)
  assert.equal(seen.changes, 1)
})

test('a ConfigMap is reported each time it is replaced: its files are links to links', async t => {
  const folder = await folderOf(t)
  const version = async (name: string) => {
    await mkdir(join(folder, name))
    await writeFile(join(folder, name, 'policy.yaml'), name)
    await symlink(name, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  await version('..1')
  await symlink('..data/policy.yaml', join(folder, 'policy.yaml'))
  const { seen } = watched(t, [join(folder, 'policy.yaml')])
  for (const nth of [1, 2, 3]) {
    await version(`..${nth + 1}`)
    await until('reported', () => seen.changes === nth)
  }
})

test('once a minute there is a report without a change: not every file system reports changes', async t => {
  const folder = await folderOf(t)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { seen } = watched(t, [join(folder, 'a')])
  t.mock.timers.tick(59_999)
  assert.equal(seen.changes, 0)
  t.mock.timers.tick(1)
  assert.equal(seen.changes, 1)
})

test('files of other folders take the place of the ones before', async t => {
  const [one, two] = [await folderOf(t), await folderOf(t)]
  const { seen, watch } = watched(t, [join(one, 'a')])
  watch.follow([join(two, 'a')])
  await writeFile(join(one, 'a'), '')
  await writeFile(join(two, 'a'), '')
  await until('reported', () => seen.changes > 0)
  assert.equal(seen.changes, 1)
  watch.follow([join(one, 'a'), join(two, 'a')])
  await writeFile(join(one, 'a'), '')
  await until('reported again', () => seen.changes > 1)
})

test('a missing folder is a failure that is reported, and no reason to end', async t => {
  const folder = await folderOf(t)
  const { seen, watch } = watched(t, [join(folder, 'later', 'a')])
  assert.equal(seen.failures, 1)
  await mkdir(join(folder, 'later'))
  watch.follow([join(folder, 'later', 'a')])
  await writeFile(join(folder, 'later', 'a'), '')
  await until('reported', () => seen.changes > 0)
})

test('after it is closed nothing is reported', async t => {
  const folder = await folderOf(t)
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  const { seen, watch } = watched(t, [join(folder, 'a')])
  watch.close()
  t.mock.timers.tick(120_000)
  assert.equal(seen.changes, 0)
})
