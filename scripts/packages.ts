import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A package whose code is handed on. */
export interface Package {
  readonly name: string
  readonly version: string
  /** An SPDX expression. */
  readonly license: string
  /** The licence's text, and notices that must go with it. */
  readonly text: string
}

/**
 * The packages that files come from, each once, by name and version.
 *
 * @param paths from the root, with `/`, as esbuild names its inputs; the project's own files belong to no package
 * @throws when a package does not say under which licence it is
 */
export async function packagesOf(root: string, paths: readonly string[]): Promise<readonly Package[]> {
  const folders = paths.map(path => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0])
  const unique = [...new Set(folders.filter(folder => folder !== undefined))]
  const packages = await Promise.all(unique.map(folder => readPackage(join(root, folder))))
  return packages.toSorted((a, b) => (label(a) < label(b) ? -1 : 1))
}

const label = ({ name, version }: Package): string => `${name} ${version}`

async function readPackage(folder: string): Promise<Package> {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    name: string
    version: string
    license?: string
  }
  if (license === undefined) throw new Error(`${name} ${version} does not say under which licence it is`)
  const files = (await readdir(folder)).filter(file => /^(licen[cs]e|notice|copying)(\.(md|txt))?$/i.test(file))
  const texts = await Promise.all(files.toSorted().map(file => readFile(join(folder, file), 'utf8')))
  return { name, version, license, text: texts.map(text => text.trim()).join('\n\n') }
}

/** What their licences ask to be handed on with the code: names, versions, texts. */
export function noticesOf(packages: readonly Package[]): string {
  const parts = packages.map(one => `${label(one)} (${one.license})\n\n${one.text}\n`)
  const intro = 'dist/token-broker.mjs, dist/chunks and the folder node_modules contain parts of these packages.\n'
  return [intro, ...parts].join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * A bill of materials (CycloneDX 1.6, JSON; https://cyclonedx.org/docs/1.6/json): scanners do not see packages inside a
 * bundle, but read this. It has neither a date nor a serial number, so that the same inputs give the same bytes.
 */
export function sbomOf(application: { name: string; version: string }, packages: readonly Package[]): string {
  const sbom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { type: 'application', ...application } },
    components: packages.map(({ name, version, license }) => {
      const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
      return { type: 'library', 'bom-ref': purl, name, version, purl, licenses: [{ expression: license }] }
    }),
  }
  return `${JSON.stringify(sbom, null, 2)}\n`
}
