import { nearestName } from '../../lib/did-you-mean.ts'
import { isGuid } from '../../lib/identifiers.ts'
import type { PolicyText } from './schema.ts'

/** The sections of the file that define names, and what the names stand for. */
const nouns = { tenants: 'tenant', applications: 'application', issuers: 'issuer', apiKeys: 'API key' } as const

/**
 * Returns the error of a name that a rule or a denial refers to and the file does not define; `undefined` if it is
 * defined. A tenant may also be an id, which needs no definition.
 */
export type ReferenceCheck = (section: keyof typeof nouns, name: string) => string | undefined

/** Characters of the shortest name that is suggested. Shorter ones are often one edit apart. */
const shortestSuggestion = 5
/** A suggestion compares the name with every defined one, so a large file with very many errors gets only so many. */
const maxSuggestions = 10

/** Checks references to the names that a file defines. One is for one validation, since it counts its suggestions. */
export function referenceCheckOf(policy: PolicyText): ReferenceCheck {
  let suggestions = 0
  const suggestionFor = (section: keyof typeof nouns, name: string): string => {
    if (suggestions === maxSuggestions) return ''
    suggestions += 1
    const meant = nearestName(name, Object.keys(policy[section] ?? {}), shortestSuggestion)
    return meant === undefined ? '' : ` (did you mean ${meant}?)`
  }
  return (section, name) => {
    if (Object.hasOwn(policy[section] ?? {}, name) || (section === 'tenants' && isGuid(name))) return undefined
    const why = section === 'tenants' ? 'not a GUID and not defined' : 'not defined'
    return `unknown ${nouns[section]} "${name}": ${why} under ${section}${suggestionFor(section, name)}`
  }
}
