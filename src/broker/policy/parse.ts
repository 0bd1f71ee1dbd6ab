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

/** Errors that are collected and listed. A larger list helps no reader, and would fill the log. TypeBox stops at eight by default. */
const maxErrors = 10_000
Settings.Set({ maxErrors })
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
  const errors = schema.Check(value) ? validatePolicy(value) : errorsOf(value)
  if (errors.length === 0 && schema.Check(value)) {
    return compilePolicy(value, createHash('sha256').update(text).digest('hex'))
  }
  throw new InvalidConfigurationError('The policy is invalid', listed(errors).map(locate))
}

/** The errors of a file that does not have the schema's shape: those of the schema, and those of meaning elsewhere. */
function errorsOf(value: unknown): readonly SchemaError[] {
  const all = schema.Errors(value)
  const ofSchema = schemaErrors(policyFileSchema, all, value)
  // A value that breaks the schema is not validated further, nor is anything within it.
  const broken = new Set(ofSchema.map(({ at }) => JSON.stringify(at)))
  const isBroken = (at: Path): boolean => at.some((_, nth) => broken.has(JSON.stringify(at.slice(0, nth + 1))))
  const ofMeaning = validatePolicy(readLeniently(value)).filter(({ at }) => !broken.has('[]') && !isBroken(at))
  return [...ofSchema, ...ofMeaning, ...(all.length < maxErrors ? [] : [more])]
}

const more: SchemaError = { at: [], what: 'has more errors than are listed here' }

/** As many errors as are listed, and a note if there are more. Never empty. */
const listed = (errors: readonly SchemaError[]): readonly SchemaError[] =>
  errors.length > maxErrors || errors.length === 0 ? [...errors.slice(0, maxErrors), more] : errors

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
