import { createHash } from 'node:crypto'
import { Compile } from 'typebox/compile'
import { Settings } from 'typebox/system'
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document, type Scalar } from 'yaml'
import { InvalidConfigurationError, type ConfigurationError } from '../../errors.ts'
import type { Policy } from './model.ts'
import { validatePolicy } from './validate.ts'
import { compilePolicy } from './compile.ts'
import { readLeniently } from './lenient-read.ts'
import { policyFileSchema, type SchemaError, type Path } from './schema.ts'
import { pathText, schemaErrors } from './schema-errors.ts'

/** Bytes of the largest policy that is read. */
export const maxPolicyBytes = 4 * 1024 * 1024
const maxAliases = 100

// TypeBox stops at eight errors by default; all errors of a policy are reported.
Settings.Set({ maxErrors: 1000 })
const schema = Compile(policyFileSchema)

/**
 * Parses, validates and compiles the text of a policy file. The result is frozen.
 *
 * @throws InvalidConfigurationError with every error, each with its path, line and column
 */
export function parsePolicy(text: string): Policy {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
  const syntax = [...document.errors, ...document.warnings].map(({ pos, code, message }) => ({
    where: position(lines, pos[0]),
    what: code === 'BAD_ALIAS' ? `${message}: a text that begins with "*" needs quotes` : message,
  }))
  if (document.directives?.yaml.version !== '1.2') {
    syntax.push({ where: 'line 1, column 1', what: 'YAML 1.2 is required: remove the %YAML directive' })
  }
  if (syntax.length > 0) throw new InvalidConfigurationError('The policy is not valid YAML', syntax)

  const value = toValue(document)
  const locate = ({ at, what, ofKey = false }: SchemaError): ConfigurationError => ({
    where: `${pathText(at)}${positionOf(document, lines, at, ofKey)}`,
    what,
  })
  if (!schema.Check(value)) {
    const ofSchema = schemaErrors(policyFileSchema, schema.Errors(value), value)
    const ofMeaning = validatePolicy(readLeniently(value)).filter(
      ({ at }) => !ofSchema.some(error => contains(error.at, at)),
    )
    throw new InvalidConfigurationError('The policy is invalid', [...ofSchema, ...ofMeaning].map(locate))
  }
  const errors = validatePolicy(value)
  if (errors.length > 0) throw new InvalidConfigurationError('The policy is invalid', errors.map(locate))
  return compilePolicy(value, createHash('sha256').update(text).digest('hex'))
}

/** Whether `at` is `place` or lies within it: a value that breaks the schema is not validated further. */
const contains = (place: Path, at: Path): boolean =>
  place.length <= at.length && place.every((part, i) => part === at[i])

function toValue(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (thrown) {
    throw new InvalidConfigurationError('The policy is invalid', [{ where: 'file', what: String(thrown) }])
  }
}

/** Line and column of the key that a path ends with, or of the nearest value at or above the path that the file has. */
function positionOf(document: Document, lines: LineCounter, path: Path, ofKey: boolean): string {
  const key = ofKey ? keyNode(document, path) : undefined
  if (key?.range) return ` (${position(lines, key.range[0])})`
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return ` (${position(lines, node.range[0])})`
  }
  return ''
}

function keyNode(document: Document, path: Path): Scalar | undefined {
  const map: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(map)) return undefined
  return map.items
    .map(({ key }) => key)
    .find((key): key is Scalar => isScalar(key) && String(key.value) === path.at(-1))
}

const position = (lines: LineCounter, offset: number): string => {
  const { line, col } = lines.linePos(offset)
  return `line ${line}, column ${col}`
}
