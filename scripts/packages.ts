import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A package whose code ships. */
export interface Package {
  readonly name: string
  readonly version: string
  /** An SPDX expression. */
  readonly license: string
  /** The text of the licence and of the notices that must accompany it. */
  readonly text: string
}

/**
 * The packages that files belong to, without duplicates, sorted by name and version.
 *
 * @param paths relative to the root, with `/`, in the format of esbuild's inputs; the project's own files are ignored
 * @throws if a package does not declare a licence
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
  if (license === undefined) throw new Error(`${name} ${version} does not declare a licence`)
  const files = (await readdir(folder)).filter(file => /^(licen[cs]e|notice|copying)(\.(md|txt))?$/i.test(file))
  const texts = await Promise.all(files.toSorted().map(file => readFile(join(folder, file), 'utf8')))
  return { name, version, license, text: texts.map(text => text.trim()).join('\n\n') }
}

/** The notices that the licences require: names, versions and texts. */
export function noticesOf(packages: readonly Package[]): string {
  const parts = packages.map(one => `${label(one)} (${one.license})\n\n${one.text}\n`)
  const intro = 'dist/bundle.cjs, dist/policy-worker.mjs and the folder node_modules contain parts of these packages.\n'
  return [intro, ...parts].join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * Creates a bill of materials (CycloneDX 1.6, JSON; https://cyclonedx.org/docs/1.6/json). Scanners read it, because
 * they cannot see the packages inside a bundle. It has no date and no serial number, so that equal inputs give equal
 * bytes.
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
