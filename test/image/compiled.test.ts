import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { bundleProgram, writeManifest } from '../../scripts/bundle.ts'
import { compile } from '../../scripts/compiled.ts'
import { nodeFlags } from '../../scripts/node-flags.ts'

const root = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(root, { recursive: true, force: true }))
const built = join(root, 'built')
await bundleProgram(built)
await writeManifest(built)
await compile(join(built, 'token-broker.cjs'))

/** Prints what V8 said of the compiled code: false means that it was accepted, true rejected, undefined that there was none. */
const probe = join(root, 'probe.cjs')
await writeFile(
  probe,
  `const { Script } = require('node:vm')
const { runInThisContext } = Script.prototype
Script.prototype.runInThisContext = function (...options) {
  process.stderr.write('rejected: ' + this.cachedDataRejected)
  return runInThisContext.apply(this, options)
}`,
)

/** What the program prints with `--version`, and what V8 said of the compiled code. */
async function versionIn(folder: string, flags: readonly string[] = nodeFlags) {
  const args = [...flags, '--require', probe, join(folder, 'token-broker.cjs'), '--version']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: '/', env: {}, timeout: 60_000 })
  return { stdout, stderr }
}

const { version } = JSON.parse(await readFile(join(built, 'package.json'), 'utf8')) as { version: string }

/** Replaces the byte in the middle of a file by another. */
async function change(path: string): Promise<void> {
  const bytes = await readFile(path)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  await writeFile(path, bytes)
}

const bundle = 'bundle.cjs'
const code = 'bundle.compiled'

describe('the compiled code of the bundle', () => {
  test('is accepted with the flags of the image, and nothing is written', async () => {
    const before = await readdir(built)
    assert.deepEqual(await versionIn(built), { stdout: `${version}\n`, stderr: 'rejected: false' })
    assert.deepEqual(await readdir(built), before)
  })

  test('has the code of an exchange, not only that of the start', async () => {
    // V8's names of functions are texts in the code. This one is called once the first token is there.
    assert.ok((await readFile(join(built, code))).includes('acquireTokenByClientCredential'))
  })

  test('is rejected by V8 with other flags, and the program works', async () => {
    const flags = ['--no-opt', ...nodeFlags]
    assert.deepEqual(await versionIn(built, flags), { stdout: `${version}\n`, stderr: 'rejected: true' })
  })

  const spoil: readonly (readonly [what: string, spoil: (folder: string) => Promise<void>])[] = [
    ['was changed', folder => change(join(folder, code))],
    ['was cut', folder => truncate(join(folder, code), 1_000_000)],
    ['is empty', folder => writeFile(join(folder, code), '')],
    ['is missing', folder => rm(join(folder, code))],
    // V8 compares the length only. A space at the end changes nothing else.
    [
      'is of another bundle',
      async folder =>
        writeFile(join(folder, bundle), `${(await readFile(join(folder, bundle), 'latin1')).slice(0, -1)} `),
    ],
  ]
  for (const [nth, [what, spoilIn]] of spoil.entries())
    test(`is not used if it ${what}, and the program works`, async () => {
      const folder = join(root, String(nth))
      await cp(built, folder, { recursive: true })
      await spoilIn(folder)
      assert.deepEqual(await versionIn(folder), { stdout: `${version}\n`, stderr: 'rejected: undefined' })
    })
})
