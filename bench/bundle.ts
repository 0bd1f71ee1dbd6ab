import { join } from 'node:path'
import { bundle as bundleInto, bundleProgram, writeManifest } from '../scripts/bundle.ts'
import { compile } from '../scripts/compiled.ts'

/** Bundles a script like the broker in the image, and writes the package.json from which it reads its version. */
export async function bundle(entry: string, folder: string, compilers = false): Promise<string> {
  const outfile = join(folder, `${entry.replaceAll(/\W/g, '-')}.mjs`)
  await bundleInto(entry, outfile, compilers)
  await writeManifest(folder)
  return outfile
}

/**
 * Bundles and compiles the broker exactly as in the image.
 * @returns the path of the program, which is started with the image's flags
 */
export async function bundleBroker(folder: string): Promise<string> {
  await bundleProgram(folder)
  await writeManifest(folder)
  const program = join(folder, 'token-broker.cjs')
  await compile(program)
  return program
}
