import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { membersOfJson } from '../broker/lib/json-members.ts'

/** The folder of this package: where `package.json` and `openapi.yaml` are, whether this file is bundled or not. */
export const packageRoot = rootAbove(import.meta.dirname)

/** As package.json says it. */
export const version = String(membersOfJson(readFileSync(join(packageRoot, 'package.json'), 'utf8'))['version'])

function rootAbove(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder
  const above = dirname(folder)
  if (above === folder) throw new Error(`no package.json in or above ${import.meta.dirname}`)
  return rootAbove(above)
}
