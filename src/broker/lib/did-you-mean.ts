/** Two edits turn a shorter name into too many others, such as `HOME` into `HOST`. */
const shortestForTwoEdits = 8

/**
 * The known name that is nearest to this one: at least one edit away, and at most two. `undefined` if there is none.
 * Names with fewer than eight characters are suggested only if they are one edit away.
 *
 * @param shortest characters of the shortest known name that is suggested
 */
export function nearestName(
  name: string,
  known: Iterable<string>,
  shortest: number = shortestForTwoEdits,
): string | undefined {
  const others = [...known].filter(each => each.length >= shortest && each !== name)
  const long = others.filter(each => each.length >= shortestForTwoEdits)
  return others.find(each => isWithin(1, name, each)) ?? long.find(each => isWithin(2, name, each))
}

/** Whether the Levenshtein distance is at most `edits`: characters to insert, delete or replace. */
function isWithin(edits: number, a: string, b: string): boolean {
  if (a === '' || b === '') return a.length + b.length <= edits
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)]
  if (a[0] === b[0]) return isWithin(edits, restOfA, restOfB)
  if (edits === 0) return false
  return isWithin(edits - 1, restOfA, restOfB) || isWithin(edits - 1, restOfA, b) || isWithin(edits - 1, a, restOfB)
}
