import assert from 'node:assert/strict'
import { chmod, chown, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { InvalidConfigurationError } from '../../src/errors.ts'
import { readOrCreateSecret } from '../../src/agent/secret-file.ts'

async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-secret-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'secret')
}
const good = 'a-secret-of-256-bits-in-base64url-0123456789'
const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8)

test('a secret that is not there is made: 256 bits, for its owner only, and the same at the next start', async t => {
  const path = await place(t)
  const secret = await readOrCreateSecret(path, '--secret-file')
  assert.match(secret, /^[\w-]{43}$/)
  assert.equal(await readFile(path, 'utf8'), secret)
  assert.equal(await modeOf(path), '600')
  assert.equal(await readOrCreateSecret(path, '--secret-file'), secret)
})

test('two are never the same', async t => {
  const secrets = await Promise.all([place(t), place(t)].map(async path => readOrCreateSecret(await path, 'x')))
  assert.notEqual(secrets[0], secrets[1])
})

test('it is for its owner only with any umask', async t => {
  const path = await place(t)
  const before = process.umask(0)
  await readOrCreateSecret(path, '--secret-file').finally(() => process.umask(before))
  assert.equal(await modeOf(path), '600')
})

test('a symbolic link is not followed to make a file elsewhere', async t => {
  const path = await place(t)
  await symlink(`${path}-elsewhere`, path)
  await assert.rejects(readOrCreateSecret(path, '--secret-file'), InvalidConfigurationError)
  await assert.rejects(stat(`${path}-elsewhere`))
})

const files: readonly (readonly [why: string, content: string, mode: number, isUsed: boolean])[] = [
  ['the least length', 'x'.repeat(43), 0o600, true],
  ['a line break behind it', `${good}\n`, 0o600, true],
  ['read-only', good, 0o400, true],
  ['a group that may read it, as in a pod', good, 0o440, true],
  ['a group that may write it', good, 0o660, false],
  ['everybody may read it', good, 0o644, false],
  ['everybody may write it', good, 0o602, false],
  ['a character too few', 'x'.repeat(42), 0o600, false],
  ['nothing', '', 0o600, false],
  ['two lines, which would be two headers', `${good}\r\nx: y`, 0o600, false],
  ['a blank in it', `${good} ${good}`, 0o600, false],
  ['a whole file of something else', 'x'.repeat(5000), 0o600, false],
]
describe('a file that exists is read, if no other user can read it', () => {
  for (const [why, content, mode, isUsed] of files)
    test(`${isUsed ? 'used' : 'refused'}: ${why}`, async t => {
      const path = await place(t)
      await writeFile(path, content)
      await chmod(path, mode)
      const read = readOrCreateSecret(path, '--secret-file')
      if (isUsed) return assert.equal(await read, content.trim())
      return assert.rejects(read, (thrown: InvalidConfigurationError) => {
        assert.deepEqual(
          thrown.errors.map(({ where }) => where),
          ['--secret-file'],
        )
        assert.ok(content === '' || !thrown.message.includes(content))
        return true
      })
    })
})

test(
  'a file of another user is refused, whatever its mode: that user knows the secret',
  { skip: process.getuid?.() !== 0 && 'only root can give a file away' },
  async t => {
    const path = await place(t)
    await writeFile(path, good, { mode: 0o600 })
    assert.equal(await readOrCreateSecret(path, '--secret-file'), good)
    await chown(path, 12_345, 12_345)
    await assert.rejects(readOrCreateSecret(path, '--secret-file'), /belongs to another user/)
  },
)
