import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Builds another version of the broker in a folder of its own, with its own bundler, as its image would be. Its packages are
 * those of this checkout if both have the same lockfile, and are installed otherwise.
 *
 * @param ref a commit, branch or tag
 * @param folder an empty folder
 * @returns the path of its bundle, and the flags of Node in its image
 */
export async function buildVersion(
  ref: string,
  folder: string,
): Promise<{ readonly program: string; readonly flags: readonly string[] }> {
  const [source, output] = [join(folder, 'source'), join(folder, 'output')]
  await Promise.all([mkdir(source), mkdir(output)])
  const archive = join(folder, 'source.tar')
  await run('git', ['-C', root, 'archive', '--output', archive, ref])
  await run('tar', ['-xf', archive, '-C', source])
  const [own, other] = await Promise.all(
    [root, source].map(place => readFile(join(place, 'package-lock.json'), 'utf8')),
  )
  if (own === other) await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  else await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: source })
  const { bundleBroker } = (await import(pathToFileURL(join(source, 'bench/bundle.ts')).href)) as Bundler
  return { program: await bundleBroker(output), flags: await flagsOf(source) }
}

/** Node's flags in the entry point of a version's image. */
async function flagsOf(source: string): Promise<readonly string[]> {
  const [, entryPoint = '[]'] = /^ENTRYPOINT (\[.+\])$/m.exec(await readFile(join(source, 'Dockerfile'), 'utf8')) ?? []
  return (JSON.parse(entryPoint) as string[]).filter(word => word.startsWith('--'))
}

/** What is used of the other version's `bench/bundle.ts`. */
interface Bundler {
  readonly bundleBroker: (folder: string) => Promise<string>
}
