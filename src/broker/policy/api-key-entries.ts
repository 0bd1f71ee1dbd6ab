import { hash } from 'node:crypto'
import type { ApiKeySettings } from './model.ts'
import type { SchemaError, Path, PolicyText } from './schema.ts'

/** API keys in the policy file: what there is to check of them, and what their dates mean. */

type KeyTexts = NonNullable<PolicyText['apiKeys']>
type KeyText = Pick<KeyTexts[string], 'sha256' | 'expires'>

/** One hash of the file, the name that it stands for, and where it is. */
interface KeyInstance {
  readonly name: string
  readonly key: KeyText
  readonly at: Path
}

const day = 86_400_000

/** Every key and, where there is one, the key that replaces it: both work. */
export const keyInstances = (texts: KeyTexts | undefined): readonly KeyInstance[] =>
  Object.entries(texts ?? {}).flatMap(([name, { next, ...key }]) => [
    { name, key, at: ['apiKeys', name] },
    ...(next ? [{ name, key: next, at: ['apiKeys', name, 'next'] }] : []),
  ])

/** When a UTC date begins, in milliseconds since 1970; `undefined` for what the calendar does not have. */
export function beginningOf(date: string): number | undefined {
  const at = Date.parse(`${date}T00:00:00Z`)
  return Number.isFinite(at) && new Date(at).toISOString().startsWith(date) ? at : undefined
}

const hashOfNothing = hash('sha256', '', 'hex')
/** What a shell's `echo "$UNSET" | sha256sum` makes. */
const hashOfNewline = hash('sha256', '\n', 'hex')

/** Keys that cannot be meant: dates that do not exist, hashes of nothing, one hash twice. */
export function validateKeys(texts: KeyTexts | undefined): readonly SchemaError[] {
  const seen = new Map<string, string>()
  return keyInstances(texts).flatMap(({ name, key, at }) => {
    const faults: SchemaError[] = []
    const sha256 = key.sha256.toLowerCase()
    if (sha256 === hashOfNothing || sha256 === hashOfNewline) {
      faults.push({ at: [...at, 'sha256'], what: 'is the hash of an empty text: hash the key itself' })
    }
    const twin = seen.get(sha256)
    if (twin !== undefined && sha256 !== '') {
      faults.push({ at: [...at, 'sha256'], what: `is the hash that "${twin}" already has: who would its holder be?` })
    }
    seen.set(sha256, name)
    if (key.expires !== '' && beginningOf(key.expires) === undefined) {
      faults.push({ at: [...at, 'expires'], what: `"${key.expires}" is no date of the calendar` })
    }
    return faults
  })
}

/**
 * What is worth saying of keys although the file is valid, since time alone brings it about.
 * @param now milliseconds since 1970
 */
export function keyWarnings(keys: readonly ApiKeySettings[], now: number): readonly string[] {
  return keys.flatMap(({ name, expires, expiresAt }) => {
    if (expiresAt <= now) return [`API key "${name}" has expired (${expires}): whoever uses it is refused`]
    const days = Math.floor((expiresAt - now) / day)
    return days < 14 ? [`API key "${name}" expires in ${days} days (${expires})`] : []
  })
}
