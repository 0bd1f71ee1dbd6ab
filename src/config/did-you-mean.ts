/** Shorter names are two edits from too much: `HOME` from `HOST`. */
const shortest = 8

/** The known name that this one was meant to be: not the same, but at most two edits from it. The nearest, if any. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const others = [...known].filter(each => each.length >= shortest && each !== name)
  return others.find(each => isWithin(1, name, each)) ?? others.find(each => isWithin(2, name, each))
}

/** Whether so many characters at most need to be inserted, deleted or replaced to make one text of the other. */
function isWithin(edits: number, a: string, b: string): boolean {
  if (a === '' || b === '') return a.length + b.length <= edits
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)]
  if (a[0] === b[0]) return isWithin(edits, restOfA, restOfB)
  if (edits === 0) return false
  return isWithin(edits - 1, restOfA, restOfB) || isWithin(edits - 1, restOfA, b) || isWithin(edits - 1, a, restOfB)
}
