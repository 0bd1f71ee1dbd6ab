import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Manifest } from './helm.ts'

const root = join(import.meta.dirname, '../..')
const models = join(root, 'node_modules/kubernetes-models')

/**
 * Compiles objects as literals of their Kubernetes types, so that fields that do not exist, are missing or have another
 * type are errors. The compiler runs once for all of them.
 *
 * @param sets objects by name
 * @returns the compiler's errors, by the same names; none for a valid set
 */
export async function typeCheck(
  sets: ReadonlyMap<string, readonly Manifest[]>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  // Inside the project, because the compiler looks for packages from there upwards.
  await mkdir(join(root, '.tmp'), { recursive: true })
  const folder = await mkdtemp(join(root, '.tmp/chart-'))
  try {
    const names = [...sets.keys()]
    for (const [index, name] of names.entries()) {
      await writeFile(join(folder, `set${index}.ts`), literals(sets.get(name) ?? []))
    }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    const lines = await compile(folder)
    const inSets = lines.flatMap(line => /^set(\d+)\.ts(.*)/.exec(line)?.slice(1) ?? []).length / 2
    if (inSets !== lines.length) throw new Error(`the compiler failed:\n${lines.join('\n')}`)
    return new Map(
      names.map((name, index) => [name, lines.filter(line => line.startsWith(`set${index}.ts(`))] as const),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const compilerOptions = {
  target: 'esnext',
  module: 'nodenext',
  types: [],
  noEmit: true,
  allowImportingTsExtensions: true,
  strict: true,
  skipLibCheck: true,
}

/** The compiler's errors, one line each. */
async function compile(folder: string): Promise<readonly string[]> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  try {
    await promisify(execFile)(process.execPath, [tsc, '--pretty', 'false', '-p', '.'], { cwd: folder })
    return []
  } catch (thrown) {
    const { stdout = '' } = thrown as { stdout?: string }
    // The details of an error are indented.
    const lines = stdout.split('\n').filter(line => /^\S/.test(line))
    if (lines.length === 0) throw thrown
    return lines
  }
}

function literals(manifests: readonly Manifest[]): string {
  return manifests
    .map((manifest, index) => {
      const { kind, metadata } = manifest
      return [
        `import type { I${kind} as T${index} } from '${moduleOf(manifest)}'`,
        `// ${kind} ${metadata.name}`,
        `export const object${index}: T${index} = ${JSON.stringify(manifest, null, 2)}`,
        '',
      ].join('\n')
    })
    .join('\n')
}

function moduleOf({ apiVersion, kind }: Manifest): string {
  if (apiVersion === 'monitoring.coreos.com/v1') return join(import.meta.dirname, 'service-monitor.ts')
  const path = `${apiVersion}/${kind}`
  if (!existsSync(join(models, `${path}.d.ts`))) throw new Error(`${path} is not a kind of Kubernetes`)
  return `kubernetes-models/${path}`
}
