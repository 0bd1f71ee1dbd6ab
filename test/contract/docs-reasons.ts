import { importsOf, read } from '../support/sources.ts'

/** An error code and the word under `reason`, with a blank between them. */
type Pair = string

/** Sources that take the codes of their errors from tables: one that is read below, and those of the form of requests. */
const tabled = ['src/outbound/entra/entra-failure.ts', 'src/agent/parent-failure.ts', 'src/http/']
/** An error made of another one invents no reason. */
const copied = /^\s*(?:\w+\.)?code, (?:\w+\.)?message,/
/** Where an error without a reason of its own reaches the log. */
const dataPath = ['src/broker/', 'src/outbound/', 'src/errors.ts']

/** What the command runs: it and everything that it imports, however far away. */
function shipped(from = 'src/cli.ts', found = new Set<string>()): ReadonlySet<string> {
  if (found.has(from)) return found
  found.add(from)
  for (const imported of importsOf(from)) shipped(imported, found)
  return found
}

/**
 * Every code and reason that the broker can make, read out of its sources' text.
 * @throws Error where a `new BrokerError` is written in a way that this does not understand
 */
export function reasonsInSources(): ReadonlySet<Pair> {
  return new Set(
    [...shipped()].flatMap(path => {
      const text = read(path).replace(/\/\*[\s\S]*?\*\//g, '')
      return [...callsOf(text).flatMap(call => pairsOfCall(path, text, call)), ...classes(path, text)]
    }),
  )
}

function pairsOfCall(path: string, text: string, call: string): readonly Pair[] {
  const code = /^\s*'(\w+)'/.exec(call)?.[1]
  if (code === undefined) {
    if (copied.test(call) || tabled.some(known => path.startsWith(known))) return []
    throw new Error(`${path}: which code has new BrokerError(${call})?`)
  }
  const expression = /\breason:([^,}]+)/.exec(call)?.[1]
  const words = expression === undefined ? [] : quoted(expression)
  if (expression !== undefined && words.length === 0) throw new Error(`${path}: which reason is${expression}?`)
  if (/[{,]\s*reason\s*[,}]/.test(call)) words.push(...namedReasons(text))
  if (words.length === 0 && dataPath.some(known => path.startsWith(known))) words.push(code)
  return words.map(word => `${code} ${word}`)
}

/** Reasons that reach `{ reason }`: by a function whose first parameter it is, or by a table with the type to match. */
function namedReasons(text: string): readonly string[] {
  const makers = [...text.matchAll(/(?:function (\w+)\(|const (\w+) = \()reason: string/g)].map(([, a, b]) => a ?? b)
  const calls = makers.flatMap(maker => [...text.matchAll(new RegExp(`\\b${maker}\\(\\s*'(\\w+)'`, 'g'))])
  const tables = text.includes('[reason: string') ? [...text.matchAll(/\[\s*'([a-z_]+)',\s*['"][A-Z]/g)] : []
  return [...calls, ...tables].map(([, word]) => word ?? '')
}

/** The classes of Entra's refusals, each with its code, and what refines the one that passes by itself. */
function classes(path: string, text: string): readonly Pair[] {
  if (path !== 'src/outbound/entra/entra-failure.ts') return []
  const table = [...text.matchAll(/^ {2}(\w+): \['(\w+)', ['"]/gm)].map(([, word, code]) => `${code} ${word}`)
  const refined = quoted(/function transientReason[\s\S]*?\n\}/.exec(text)?.[0] ?? '')
  if (table.length === 0 || refined.length === 0) throw new Error(`${path}: where are the classes?`)
  return [...table, ...refined.map(word => `upstream_unavailable ${word}`)]
}

const quoted = (text: string): string[] => [...text.matchAll(/'(\w+)'/g)].map(([, word]) => word ?? '')

/** What stands between the brackets of every `new BrokerError(…)`. */
function callsOf(text: string): readonly string[] {
  const opening = 'new BrokerError('
  const calls: string[] = []
  for (let at = text.indexOf(opening); at !== -1; at = text.indexOf(opening, at + 1)) {
    const from = at + opening.length
    calls.push(text.slice(from, closingBracket(text, from)))
  }
  return calls
}

/** Where the bracket closes that is open at `from`; brackets in texts do not count. */
function closingBracket(text: string, from: number): number {
  let depth = 1
  let quote = ''
  for (let at = from; at < text.length; at++) {
    const char = text.charAt(at)
    if (quote !== '') {
      if (char === '\\') at++
      else if (char === quote) quote = ''
    } else if (`'"\``.includes(char)) quote = char
    else if (char === '(') depth++
    else if (char === ')' && --depth === 0) return at
  }
  throw new Error('a bracket is not closed')
}
