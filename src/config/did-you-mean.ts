/** A name is taken for a misspelling up to this Levenshtein distance. */
const mostEdits = 2
/** Shorter names are ignored: too many words are two edits away, such as `HOME` from `HOST`. */
const shortest = 8

/** The known name that is nearest to this one: at least one and at most two edits away. `undefined` if there is none. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let fewest = mostEdits + 1
  for (const candidate of known) {
    if (candidate.length < shortest || Math.abs(candidate.length - name.length) >= fewest) continue
    const edits = editsBetween(name, candidate)
    if (edits > 0 && edits < fewest) [nearest, fewest] = [candidate, edits]
  }
  return nearest
}

/** The Levenshtein distance: how many characters to insert, delete or replace to turn one text into the other. */
function editsBetween(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, n) => n)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + Number(a[row - 1] !== b[column - 1])
      line.push(Math.min(replaced, (above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1))
    }
    above = line
  }
  return above[b.length] ?? 0
}
