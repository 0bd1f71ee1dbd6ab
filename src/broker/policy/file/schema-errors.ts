import type { TLocalizedValidationError } from 'typebox/error'
import { membersOf, type Members } from '../../lib/json-members.ts'
import type { SchemaError, Path } from './schema.ts'

/**
 * Turns TypeBox's errors into one error per place, as text for people: descriptions in the schema complete "must be …".
 * The errors of a union's branches are left out; the union itself has one.
 *
 * @param schema what `value` was checked against
 */
export function schemaErrors(
  schema: unknown,
  errors: readonly TLocalizedValidationError[],
  value: unknown,
): readonly SchemaError[] {
  const found: SchemaError[] = []
  for (const error of errors) {
    // The error "additionalProperties" has all unknown keys, but comes after one "boolean" for each of them. A list that was
    // cut off may have only the latter.
    const isRepeated = error.keyword === 'additionalProperties' || error.keyword === 'propertyNames'
    if (isRepeated || error.schemaPath.includes('/anyOf/')) continue
    const at = pointerPath(error.instancePath, value)
    if (error.keyword === 'boolean') {
      const parent = error.schemaPath.slice(0, error.schemaPath.lastIndexOf('/'))
      const known = Object.keys(membersOf(schemaAt(schema, parent)['properties'])).join(', ')
      const what = known === '' ? 'unknown key' : `unknown key; allowed keys: ${known}`
      found.push({ at, what, ofKey: true })
    } else if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) found.push({ at: [...at, key], what: 'is required' })
    } else {
      found.push({ at, what: schemaErrorText(schema, error) })
    }
  }
  return found
}

function schemaErrorText(schema: unknown, error: { schemaPath: string; keyword: string; message: string }): string {
  if (error.schemaPath.endsWith('/propertyNames')) {
    return 'must be a name: at most 63 lower-case letters, digits, dots and hyphens'
  }
  const description = describedAt(schema, error.schemaPath)
  if (description === undefined) return error.message
  return error.keyword === 'minItems' || error.keyword === 'minProperties'
    ? `must not be empty: expected ${description}`
    : `must be ${description}`
}

/** The `description` of the schema at a schema path. */
function describedAt(schema: unknown, schemaPath: string): string | undefined {
  const { description } = schemaAt(schema, schemaPath)
  return typeof description === 'string' ? description : undefined
}

const schemaAt = (schema: unknown, schemaPath: string): Members =>
  schemaPath
    .split('/')
    .slice(1)
    .reduce((here, part) => membersOf(membersOf(here)[part]), membersOf(schema))

/** A JSON pointer into `value` as a path, with numbers where there are lists. */
function pointerPath(pointer: string, value: unknown): Path {
  const path: (string | number)[] = []
  let here = value
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    path.push(Array.isArray(here) ? Number(key) : key)
    here = membersOf(here)[key]
  }
  return path
}

/** A path as text: `rules[2].callers[0]`; `file` for the empty path. */
export const pathText = (path: Path): string =>
  path
    .map(part => (typeof part === 'number' ? `[${part}]` : `.${/^[\w.-]+$/.test(part) ? part : JSON.stringify(part)}`))
    .join('')
    .replace(/^\./, '') || 'file'
