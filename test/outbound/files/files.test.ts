import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { readCredential } from '../../../src/caller/workload-credential.ts'
import { readOrCreateSecret } from '../../../src/agent/secret-file.ts'
import { readInTime, readLimitedFile } from '../../../src/outbound/files/files.ts'

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const pipe = join(folder, 'pipe')
execFileSync('mkfifo', ['-m', '600', pipe])
const file = join(folder, 'file')
await writeFile(file, 'text')
await symlink(file, join(folder, 'link'))

test('a regular file is read, also through a symbolic link', async () => {
  assert.equal(await readLimitedFile(file, 4), 'text')
  assert.equal(await readLimitedFile(join(folder, 'link'), 4), 'text')
  await assert.rejects(readLimitedFile(file, 3), /is larger than 3 bytes/)
})

test('a file that is read in several pieces is whole, and its limit is exact', async () => {
  const path = join(folder, 'pieces')
  // "€" has three bytes, so that one of them is in two pieces.
  const text = '€'.repeat(50_000)
  await writeFile(path, text)
  assert.equal(await readLimitedFile(path, 150_000), text)
  await assert.rejects(readLimitedFile(path, 149_999), /is larger than 149999 bytes/)
})

test('a small file takes little memory, however large it may be', async () => {
  const before = process.memoryUsage().arrayBuffers
  await readLimitedFile(file, 2 ** 28)
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20)
})

for (const [what, path] of [
  ['a named pipe without a writer', pipe],
  ['a device', '/dev/zero'],
  ['a folder', folder],
] as const)
  test(`${what} is refused at once`, { timeout: 5000 }, async () => {
    await assert.rejects(readLimitedFile(path, 10), /is not a regular file/)
  })

test("an agent's credential and secret that are named pipes are errors, however often they are read", async () => {
  const files = { tokenFile: pipe, apiKeyFile: undefined, certificate: undefined, caFile: undefined }
  for (let nth = 0; nth < 8; nth++) await assert.rejects(readCredential(files), { code: 'identity_unavailable' })
  await assert.rejects(readOrCreateSecret(pipe, '--secret-file'), /is not a regular file/)
  assert.equal(await readLimitedFile(file, 4), 'text', 'the thread pool is not blocked')
})

describe('a read that never returns, as from a hung mount,', () => {
  test('ends in time; others in its folder do not start, and fail at once, until it returns', async () => {
    let [started, release] = [0, (): void => undefined]
    const hang = (): Promise<void> => {
      started++
      return new Promise(resolve => (release = resolve))
    }
    const all = await Promise.allSettled([1, 2, 3].map(() => readInTime('/hung/a', hang, 50)))
    for (const each of all) assert.match(String('reason' in each && each.reason), /could not be read within 0.05 s/)
    const before = performance.now()
    await assert.rejects(readInTime('/hung/b', hang, 10_000), /could not be read within/)
    assert.ok(performance.now() - before < 1000)
    assert.equal(started, 1, 'one read in the folder blocks a thread')
    assert.equal(await readInTime('/other/a', async () => 'x'), 'x', 'other folders are read')

    release()
    await new Promise(setImmediate)
    assert.equal(await readInTime('/hung/a', async () => 'x'), 'x')
    assert.equal(started, 1, 'a read that was given up does not start later')
  })
})
