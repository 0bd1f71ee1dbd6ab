import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { read } from '../support/sources.ts'
import { blocksOf, pages } from './tables.ts'

/**
 * The command lines of the Azure CLI on every page, given to its own argument parser. The shell blocks run with programs
 * that do nothing in place of `az` and everything else that would change something, so that quotes, variables and
 * here-documents are those that a reader gets.
 */

const root = join(import.meta.dirname, '../..')
const python = join(root, '.tools/azure-cli/bin/python')
/** What the blocks use to make arguments. These run. */
const real = ['cat', 'cut', 'date', 'grep', 'jq', 'sed', 'tr']
/** Everything else that is in a block with `az`. These do nothing. */
const inert = ['curl', 'docker', 'helm', 'kubectl', 'podman', 'buildah', 'token-broker', 'azd']

const absent = real.filter(program => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
const skip =
  absent.length > 0
    ? `${absent.join(' and ')} is not installed`
    : existsSync(join(root, '.tools/azure-cli/installed'))
      ? false
      : 'no parser of the Azure CLI in .tools/azure-cli; to install it: scripts/tools.sh'

const withAz = /(?:^|[\s(])az [a-z]/gm
const withoutComments = (block: string): string => block.replaceAll(/^\s*#.*$/gm, '')
const scriptsOf = (page: string): readonly string[] =>
  blocksOf(read(page), 'sh')
    .map(withoutComments)
    .filter(block => block.search(withAz) !== -1)
const checked = [...pages(), 'infra/README.md'].filter(page => scriptsOf(page).length > 0)

const id = '6f3c0b1e-0000-4000-8000-000000000001'
const folder = await mkdtemp(join(tmpdir(), 'token-broker-az-'))
after(() => rm(folder, { recursive: true, force: true }))

async function stub(name: string, script: string): Promise<void> {
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`)
  await chmod(join(folder, 'bin', name), 0o755)
}

before(async () => {
  if (skip !== false) return
  await mkdir(join(folder, 'bin'))
  // Each argument ends with a zero byte, and each command line with a separator.
  await stub('az', `{ printf '%s\\0' "$@"; printf '\\036'; } >> "$AZ_LOG"; echo ${id}`)
  await stub('uuidgen', `echo ${id}`)
  for (const name of inert) await stub(name, 'exit 0')
  for (const name of real) {
    const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    await symlink(path, join(folder, 'bin', name))
  }
})

/** The arguments of each `az` that the blocks run, in order. */
async function recorded(scripts: readonly string[]): Promise<readonly (readonly string[])[]> {
  const log = join(folder, 'log')
  await writeFile(log, '')
  const { status, stderr } = spawnSync('/bin/sh', ['-ec', scripts.join('\n')], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: join(folder, 'bin'), AZ_LOG: log },
  })
  assert.equal(status, 0, stderr)
  const lines = (await readFile(log, 'utf8')).split('\u001e').slice(0, -1)
  return lines.map(line => line.split('\0').slice(0, -1))
}

/** What the Azure CLI says about each command line; `null` if it accepts it. */
function parsed(lines: readonly (readonly string[])[]): readonly (string | null)[] {
  const { status, stdout, stderr } = spawnSync(python, [join(root, 'scripts/azure-cli/parse.py')], {
    input: JSON.stringify(lines),
    encoding: 'utf8',
    timeout: 110_000,
    env: { AZURE_CONFIG_DIR: join(folder, 'azure'), AZURE_CORE_COLLECT_TELEMETRY: '0', PATH: process.env['PATH'] },
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as readonly (string | null)[]
}

describe('the Azure CLI accepts every command line', { skip }, () => {
  for (const page of checked)
    test(page, async () => {
      const scripts = scriptsOf(page)
      const lines = await recorded(scripts)
      assert.equal(lines.length, scripts.join('\n').match(withAz)?.length, 'every az of the page has run once')
      const refused = parsed(lines).flatMap((said, nth) =>
        said === null ? [] : [`az ${lines[nth]?.join(' ')}\n  ${said}`],
      )
      assert.deepEqual(refused, [], refused.join('\n'))
    })

  test('and refuses an unknown command, an unknown option, and one without its value', () => {
    const wrong = [
      ['containerapp', 'revsion', 'list'],
      ['group', 'create', '--name', 'g', '--location', 'l', '--bogus'],
      ['group', 'create', '--name'],
      ['group', 'create', '--name', 'g'],
    ]
    assert.ok(parsed(wrong).every(said => said !== null))
  })
})

test('the pages name the version of that parser', () => {
  const version = /^azure-cli==(\d+\.\d+)\.\d+$/m.exec(read('scripts/azure-cli/azure-cli.txt'))?.[1] ?? 'none'
  assert.ok(read('docs/azure.md').includes(`Azure CLI ${version} or later`))
  assert.ok(checked.includes('docs/azure.md') && checked.includes('docs/kubernetes.md'))
})
