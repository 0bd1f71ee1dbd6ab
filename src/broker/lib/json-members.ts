/** An object, an array included, whose members are not known. */
export type Members = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null

/** The members of a value that came from outside; none where it is no object. */
export const membersOf = (value: unknown): Members => (isObject(value) ? value : {})

/** The members of a JSON text; none where it is not JSON or no object. */
export function membersOfJson(text: string): Members {
  try {
    return membersOf(JSON.parse(text))
  } catch {
    return {}
  }
}
