/** Two edits turn a shorter name into too many others, such as `HOME` into `HOST`. */
const shortestForTwoEdits = 8
/** Characters of the shortest name of the policy that is suggested. Shorter ones are often one edit apart. */
export const shortestSuggestion = 5

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

/** The most names that {@link namesWithTheSameWords} returns. */
const mostSuggested = 3

/**
 * The known names that begin or end with this one, or with which it begins or ends; words are separated by underscores.
 * `BROKER_POLICY` and `POLICY_FILE` are parts of `BROKER_POLICY_FILE`, `BROKER_LOG_LEVEL` contains `LOG_LEVEL`. At most
 * three names, in the order of `known`.
 */
export function namesWithTheSameWords(name: string, known: Iterable<string>): readonly string[] {
  const contains = (longer: string, shorter: string): boolean =>
    shorter !== '' && (longer.startsWith(`${shorter}_`) || longer.endsWith(`_${shorter}`))
  return [...known].filter(each => contains(each, name) || contains(name, each)).slice(0, mostSuggested)
}

/**
 * Whether the Levenshtein distance is at most `edits`: characters to insert, delete or replace. The common beginning is
 * skipped in a loop, so the depth of the recursion is the number of edits: names in an invalid file can be very long.
 */
function isWithin(edits: number, a: string, b: string): boolean {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  if (at === a.length || at === b.length) return a.length + b.length - 2 * at <= edits
  if (edits === 0) return false
  const [endOfA, endOfB] = [a.slice(at), b.slice(at)]
  const [restOfA, restOfB] = [endOfA.slice(1), endOfB.slice(1)]
  return (
    isWithin(edits - 1, restOfA, restOfB) ||
    isWithin(edits - 1, restOfA, endOfB) ||
    isWithin(edits - 1, endOfA, restOfB)
  )
}
