import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/service/package.ts'
import { bicepVersion, type Variables, type Workshop } from './bicep.ts'

/** The sets of parameters of which a snapshot is kept, with what they read from the environment. */
export const parameterSets: Readonly<Record<string, Variables>> = {
  main: { SERVICE_BROKER_IMAGE_NAME: 'example.azurecr.io/token-broker:0.1.0' },
  full: { BROKER_CACHE_KEYS: 'the key ring', BROKER_COLLECTOR_CONFIG: 'the configuration of the collector' },
}

/** The files that `npm run infra` compiles, by path, in order. */
export const compiledPaths = [
  'infra/main.json',
  ...Object.keys(parameterSets).map(name => `infra/${name}.snapshot.json`),
]

/** The file that says from which sources they were compiled. */
export const recordPath = 'infra/compiled.json'

/** The files that are compiled, from the sources in a workshop. */
export async function compile(workshop: Workshop): Promise<ReadonlyMap<string, string>> {
  const files = new Map([['infra/main.json', await workshop.build('main.bicep')]])
  for (const [name, variables] of Object.entries(parameterSets))
    files.set(`infra/${name}.snapshot.json`, await workshop.snapshot(name, variables))
  return files
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** SHA-256 of all sources: names and texts, whatever the ends of their lines are. */
function sourcesDigest(): string {
  const patterns = ['infra/**/*.bicep', 'infra/*.bicepparam', 'infra/modules/*.json', 'infra/*policy.yaml']
  const names = ['infra/bicepconfig.json', ...globSync(patterns, { cwd: packageRoot })].map(each =>
    each.replaceAll('\\', '/'),
  )
  const texts = [...new Set(names)].toSorted().map(name => `${name}\n${textOf(name)}`)
  return sha256(texts.join('\n'))
}

const textOf = (path: string): string => readFileSync(join(packageRoot, path), 'utf8').replaceAll('\r\n', '\n')

/**
 * The record of the compiled files, which can be compared without a CLI: the digest of the sources as they are now, and of
 * each compiled file.
 */
export function recordOf(files: ReadonlyMap<string, string>): string {
  const digests = Object.fromEntries([...files].map(([name, text]) => [name, sha256(text.replaceAll('\r\n', '\n'))]))
  return `${JSON.stringify({ bicep: bicepVersion, sources: sourcesDigest(), ...digests }, undefined, 2)}\n`
}
