import {
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Pair,
  type YAMLMap,
} from 'yaml'
import { InvalidConfigurationError, type ConfigurationError } from '../../../errors.ts'
import type { SchemaError } from './schema.ts'
import { pathText } from './schema-errors.ts'

const maxAliases = 100

/** The content of a YAML file, and where it is. */
export interface YamlFile {
  readonly value: unknown
  /** The error with its path, and with the line and column of the key that the path ends with, or of the nearest value. */
  readonly locate: (error: SchemaError) => ConfigurationError
}

/**
 * Reads a YAML 1.2 file of one document. Keys must be plain texts, each once in its mapping. Its time grows evenly with the
 * length of the text, however many keys a mapping has.
 *
 * @throws InvalidConfigurationError with all errors of the syntax
 */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter()
  // The library compares each key with all before it. `repeatedKeys` does not.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false })
  const position = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `line ${line}, column ${col}`
  }
  const syntax = [...document.errors, ...document.warnings].map(({ pos, code, message }) => ({
    where: position(pos[0]),
    what: code === 'BAD_ALIAS' ? `${message}: a text that begins with "*" needs quotes` : message,
  }))
  if (document.directives?.yaml.version !== '1.2') {
    syntax.push({ where: 'line 1, column 1', what: 'YAML 1.2 is required: remove the %YAML directive' })
  }
  for (const { offset, what } of keyErrors(document)) syntax.push({ where: position(offset), what })
  if (syntax.length > 0) throw new InvalidConfigurationError('The policy is not valid YAML', syntax)
  const offsetOf = offsetsIn(document)
  return {
    value: toValue(document),
    locate: error => {
      const offset = offsetOf(error)
      return { where: `${pathText(error.at)}${offset === undefined ? '' : ` (${position(offset)})`}`, what: error.what }
    },
  }
}

function toValue(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (thrown) {
    throw new InvalidConfigurationError('The policy is invalid', [{ where: 'file', what: String(thrown) }])
  }
}

/** The name of a key in the value that the file stands for; `undefined` if the key is no plain text. */
function nameOf({ key }: Pair): string | undefined {
  if (!isScalar(key)) return undefined
  const { value } = key
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint' ? String(value) : ''
}

/** Keys that their mapping has twice, and keys that are no plain text, such as a list or an alias. */
function keyErrors(document: Document): readonly { readonly offset: number; readonly what: string }[] {
  const errors: { offset: number; what: string }[] = []
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<string>()
      for (const pair of items) {
        const name = nameOf(pair)
        const offset = rangeOf(pair.key)?.[0] ?? 0
        if (name === undefined) errors.push({ offset, what: 'Map keys must be plain texts' })
        else if (seen.has(name)) errors.push({ offset, what: 'Map keys must be unique' })
        else seen.add(name)
      }
    },
  })
  return errors
}

/** Finds where the place of an error begins. Each mapping is indexed once, since a file can have thousands of errors. */
function offsetsIn(document: Document): (error: SchemaError) => number | undefined {
  const indexes = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>()
  const indexOf = (map: YAMLMap): ReadonlyMap<string, Pair> => {
    const known = indexes.get(map)
    if (known) return known
    const index = new Map(map.items.map(pair => [nameOf(pair) ?? '', pair]))
    indexes.set(map, index)
    return index
  }
  return ({ at, ofKey = false }) => {
    let node: unknown = document.contents
    let found: number | undefined
    for (const [nth, part] of at.entries()) {
      const pair = isMap(node) ? indexOf(node).get(String(part)) : undefined
      const child = pair ? pair.value : itemOf(node, part)
      if (pair && ofKey && nth === at.length - 1) return rangeOf(pair.key)?.[0] ?? found
      found = rangeOf(child)?.[0] ?? found
      node = child
    }
    return found
  }
}

const itemOf = (node: unknown, part: string | number): unknown =>
  isSeq(node) && typeof part === 'number' ? node.items[part] : undefined

const rangeOf = (value: unknown): readonly [number, number, number] | undefined =>
  isNode(value) ? (value.range ?? undefined) : undefined
