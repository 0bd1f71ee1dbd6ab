import { join } from 'node:path'
import { bundle as bundleInto, writeManifest } from '../scripts/bundle.ts'
import { compile } from '../scripts/compiled.ts'

/** Bundles a script as the image carries the broker, into a folder where it finds its version as it does in the image. */
export async function bundle(entry: string, folder: string, compilers = false): Promise<string> {
  const outfile = join(folder, `${entry.replaceAll(/\W/g, '-')}.mjs`)
  await bundleInto(entry, outfile, compilers)
  await writeManifest(folder)
  return outfile
}

/** The broker exactly as the image carries it: in a folder that has nothing compiled yet. */
export async function bundleBroker(folder: string): Promise<string> {
  const program = await bundle('src/cli.ts', folder)
  await compile(program)
  return program
}
