import { hash } from 'node:crypto'
import type { ApiKeySettings } from '../../model.ts'
import type { SchemaError, Path, PolicyText } from '../schema.ts'

/** Validates the API keys of the policy file, and interprets their dates. */

type KeyTexts = NonNullable<PolicyText['apiKeys']>
type KeyText = Pick<KeyTexts[string], 'sha256' | 'expires'>

/** One hash in the file, the name of its key, and its place. */
interface KeyInstance {
  readonly name: string
  readonly key: KeyText
  readonly at: Path
}

const day = 86_400_000

/** Days before its end from which on a key or certificate is reported as ending soon. */
export const endsSoonDays = 14

/** Every key and, if it has a `next`, the key that replaces it: both work. */
export const keyInstances = (texts: KeyTexts | undefined): readonly KeyInstance[] =>
  Object.entries(texts ?? {}).flatMap(([name, { next, ...key }]) => [
    { name, key, at: ['apiKeys', name] },
    ...(next ? [{ name, key: next, at: ['apiKeys', name, 'next'] }] : []),
  ])

/** When a UTC date begins, in milliseconds since 1970; `undefined` if the calendar does not have it. */
export function beginningOf(date: string): number | undefined {
  const at = Date.parse(`${date}T00:00:00Z`)
  return Number.isFinite(at) && new Date(at).toISOString().startsWith(date) ? at : undefined
}

const hashOfNothing = hash('sha256', '', 'hex')
/** The hash that `echo "$UNSET" | sha256sum` prints in a shell. */
const hashOfNewline = hash('sha256', '\n', 'hex')

/** The errors of API keys: dates that do not exist, hashes of an empty text, and a hash that occurs twice. */
export function validateKeys(texts: KeyTexts | undefined): readonly SchemaError[] {
  const seen = new Map<string, string>()
  return keyInstances(texts).flatMap(({ name, key, at }) => {
    const errors: SchemaError[] = []
    const sha256 = key.sha256.toLowerCase()
    if (sha256 === hashOfNothing || sha256 === hashOfNewline) {
      errors.push({ at: [...at, 'sha256'], what: 'is the hash of an empty text; must be the hash of the key' })
    }
    const twin = seen.get(sha256)
    if (twin !== undefined && sha256 !== '') {
      errors.push({
        at: [...at, 'sha256'],
        what: `is already the hash of "${twin}"; must be unique, because it identifies the caller`,
      })
    }
    seen.set(sha256, name)
    if (key.expires !== '' && beginningOf(key.expires) === undefined) {
      errors.push({ at: [...at, 'expires'], what: `must be a date that exists; got "${key.expires}"` })
    }
    return errors
  })
}

/**
 * Warnings about keys that have expired or will expire within {@link endsSoonDays} days. They are no errors, so that a valid file stays
 * valid.
 *
 * @param now milliseconds since 1970
 */
export function keyWarnings(keys: readonly ApiKeySettings[], now: number): readonly string[] {
  return keys.flatMap(({ name, expires, expiresAt }) => {
    if (expiresAt <= now) return [`API key "${name}" has expired (${expires}) and is refused`]
    const days = Math.floor((expiresAt - now) / day)
    return days < endsSoonDays ? [`API key "${name}" expires in ${days} days (${expires})`] : []
  })
}
