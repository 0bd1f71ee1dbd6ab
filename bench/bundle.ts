import { join } from 'node:path'
import { compile } from '../scripts/compiled.ts'
import { bundle as bundleInto, writeManifest } from '../scripts/bundle.ts'

/** Bundles a script exactly as the image carries it, into a folder where it finds its version as it does in the image. */
export async function bundle(entry: string, folder: string, compilers = false): Promise<string> {
  const outfile = join(folder, `${entry.replaceAll(/\W/g, '-')}.mjs`)
  await bundleInto(entry, outfile, compilers)
  await writeManifest(folder)
  if (!compilers) await compile(outfile)
  return outfile
}
