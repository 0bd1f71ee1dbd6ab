/** A string before a colon is a name; any other string is consumed as a whole, so that nothing in it counts. */
const tokens = /("[^"\\]*(?:\\.[^"\\]*)*")[\t\n\r ]*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]/g

/**
 * A name that one object of a JSON text has twice, however it is escaped (`"tenant"` and `"\u0074enant"`);
 * `undefined` if there is none. `JSON.parse` would use the last of them, and another reader the first (RFC 8259 §4). Takes
 * linear time.
 *
 * @param json valid JSON; throws SyntaxError for a name that is not
 */
export function repeatedName(json: string): string | undefined {
  const open: Set<string>[] = []
  for (const [token, written] of json.matchAll(tokens)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (written !== undefined) {
      const name = String(JSON.parse(written))
      const names = open.at(-1)
      if (names?.has(name)) return name
      names?.add(name)
    }
  }
  return undefined
}
