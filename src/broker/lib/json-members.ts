/** An object or an array whose members are not known. */
export type Members = Readonly<Record<string, unknown>>

/** Whether a value is an object or an array, and not `null`. */
export const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null

/** The members of a value of unknown type; empty if it is not an object. */
export const membersOf = (value: unknown): Members => (isObject(value) ? value : {})

/** The members of a JSON text; empty if it is not JSON or not an object. Never throws. */
export function membersOfJson(text: string): Members {
  try {
    return membersOf(JSON.parse(text))
  } catch {
    return {}
  }
}
