import { createHash } from 'node:crypto'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { isNode, LineCounter, parseDocument, type Document } from 'yaml'
import { FaultsError, type Fault } from '../errors.ts'
import type { Policy } from './policy-model.ts'
import { checkPolicy } from './policy-check.ts'
import { compilePolicy } from './policy-compile.ts'
import { membersOf } from './narrow.ts'
import { readLoosely } from './policy-loose.ts'
import { policyShape, type FaultAt, type Path } from './policy-shape.ts'

/** Bytes of the largest policy that is read. */
export const maxPolicyBytes = 4 * 1024 * 1024
const maxAliases = 100

// TypeBox stops at eight errors unless told otherwise; a policy is reported whole.
Settings.Set({ maxErrors: 1000 })
const shape = Compile(policyShape)

/**
 * The policy file's text as a frozen {@link Policy}.
 * @throws FaultsError with every fault, each with its path, line and column; nothing is half loaded
 */
export function parsePolicy(text: string): Policy {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
  const syntax = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    where: position(lines, pos[0]),
    what: message,
  }))
  if (document.directives?.yaml.version !== '1.2') {
    syntax.push({ where: 'line 1, column 1', what: 'only YAML 1.2 is read: remove the %YAML directive' })
  }
  if (syntax.length > 0) throw new FaultsError('The policy is not valid YAML', syntax)

  const value = toValue(document)
  const locate = ({ at, what }: FaultAt): Fault => ({
    where: `${pathText(at)}${positionOf(document, lines, at)}`,
    what,
  })
  const misshapen = shape.Check(value) ? [] : shapeFaults(value)
  const meant = checkPolicy(readLoosely(value)).filter(({ at }) => !misshapen.some(fault => leadsTo(fault.at, at)))
  const faults = [...misshapen, ...meant]
  if (faults.length > 0 || !shape.Check(value)) throw new FaultsError('The policy is faulty', faults.map(locate))
  return compilePolicy(value, createHash('sha256').update(text).digest('hex'))
}

/** Whether `at` is `place` or lies within it: what is misshapen is not judged further. */
const leadsTo = (place: Path, at: Path): boolean =>
  place.length <= at.length && place.every((part, i) => part === at[i])

function toValue(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (thrown) {
    throw new FaultsError('The policy is faulty', [{ where: 'file', what: String(thrown) }])
  }
}

/** Faults of shape, one per place. What a union's branches complain about is said once, by the union. */
function shapeFaults(value: unknown): readonly FaultAt[] {
  const faults: FaultAt[] = []
  for (const error of shape.Errors(value)) {
    if (error.schemaPath.includes('/anyOf/') || error.keyword === 'boolean' || error.keyword === 'propertyNames')
      continue
    const at = pointerPath(error.instancePath, value)
    if (error.keyword === 'additionalProperties') {
      for (const key of error.params.additionalProperties) faults.push({ at: [...at, key], what: 'unknown key' })
    } else if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) faults.push({ at: [...at, key], what: 'is required' })
    } else {
      faults.push({ at, what: shapeText(error) })
    }
  }
  return faults
}

function shapeText(error: { schemaPath: string; keyword: string; message: string }): string {
  if (error.schemaPath.endsWith('/propertyNames')) {
    return 'is not a name: use lower-case letters, digits, dots and hyphens, 63 characters at most'
  }
  const description = describedAt(error.schemaPath)
  if (description === undefined) return error.message
  return error.keyword === 'minItems' || error.keyword === 'minProperties'
    ? `must not be empty: expected ${description}`
    : `must be ${description}`
}

/** The `description` of the schema that a schema path names. */
function describedAt(schemaPath: string): string | undefined {
  let schema: unknown = policyShape
  for (const part of schemaPath.split('/').slice(1)) schema = membersOf(schema)[part]
  const { description } = membersOf(schema)
  return typeof description === 'string' ? description : undefined
}

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

const pathText = (path: Path): string =>
  path
    .map(part => (typeof part === 'number' ? `[${part}]` : `.${/^[\w.-]+$/.test(part) ? part : JSON.stringify(part)}`))
    .join('')
    .replace(/^\./, '') || 'file'

/** Line and column of the nearest thing at or above a path that stands in the file. */
function positionOf(document: Document, lines: LineCounter, path: Path): string {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return ` (${position(lines, node.range[0])})`
  }
  return ''
}

const position = (lines: LineCounter, offset: number): string => {
  const { line, col } = lines.linePos(offset)
  return `line ${line}, column ${col}`
}
