import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { membersOfJson } from '../broker/lib/json-members.ts'

/** The name in the broker's own package.json. A bundle may lie in the folder of another package. */
const packageName = 'token-broker'

const own = packageAbove(import.meta.dirname)

/** The folder with `package.json` and `openapi.yaml`, whether this file is bundled or not. */
export const packageRoot = own.folder

/** The version in package.json. */
export const version = own.version

function packageAbove(folder: string): { readonly folder: string; readonly version: string } {
  const file = join(folder, 'package.json')
  if (existsSync(file)) {
    const { name, version: text } = membersOfJson(readFileSync(file, 'utf8'))
    if (name === packageName) return { folder, version: String(text) }
  }
  const above = dirname(folder)
  if (above === folder) throw new Error(`no package.json of ${packageName} in or above ${import.meta.dirname}`)
  return packageAbove(above)
}
