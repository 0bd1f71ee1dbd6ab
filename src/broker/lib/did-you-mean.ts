/** Shorter names are ignored: too many words are two edits away, such as `HOME` from `HOST`. */
const shortest = 8

/** The known name that is nearest to this one: at least one and at most two edits away. `undefined` if there is none. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const others = [...known].filter(each => each.length >= shortest && each !== name)
  return others.find(each => isWithin(1, name, each)) ?? others.find(each => isWithin(2, name, each))
}

/** Whether the Levenshtein distance is at most `edits`: characters to insert, delete or replace. */
function isWithin(edits: number, a: string, b: string): boolean {
  if (a === '' || b === '') return a.length + b.length <= edits
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)]
  if (a[0] === b[0]) return isWithin(edits, restOfA, restOfB)
  if (edits === 0) return false
  return isWithin(edits - 1, restOfA, restOfB) || isWithin(edits - 1, restOfA, b) || isWithin(edits - 1, a, restOfB)
}
