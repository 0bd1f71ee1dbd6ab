/** Edits (Levenshtein) up to which a name is taken for a misspelling. */
const mostEdits = 2
/** Shorter names are two edits from too much: `HOME` from `HOST`. */
const shortest = 8

/** The known name that this one was meant to be: not the same, but at most two edits from it. The nearest, if any. */
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

/** Characters to insert, delete or replace to make one text of the other. */
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
