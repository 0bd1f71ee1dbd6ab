import { nearestName, shortestSuggestion } from '../../../lib/text/did-you-mean.ts'
import { isGuid, isScopeName } from '../../../lib/identifiers.ts'
import type { PolicyText } from '../schema.ts'

/** The sections of the file that define names, and what the names stand for. */
const nouns = {
  tenants: 'tenant',
  scopes: 'scope',
  applications: 'application',
  agents: 'agent identity',
  issuers: 'issuer',
  apiKeys: 'API key',
} as const

/** What an entry may be besides a name that is defined. Each function checks an entry that is not. */
const others = {
  tenants: { isOne: isGuid, what: 'not a GUID and ' },
  scopes: { isOne: (text: string) => !isScopeName(text), what: 'not <resource>/.default and ' },
} as const

/**
 * Returns the error of a name that a rule or a denial refers to and the file does not define; `undefined` if it is
 * defined. A tenant may also be an id, and a scope one itself, which need no definition.
 */
export type ReferenceCheck = (section: keyof typeof nouns, name: string) => string | undefined

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
    const other = section === 'tenants' || section === 'scopes' ? others[section] : undefined
    if (Object.hasOwn(policy[section] ?? {}, name) || other?.isOne(name)) return undefined
    const why = `${other?.what ?? ''}not defined under ${section}`
    return `unknown ${nouns[section]} "${name}": ${why}${suggestionFor(section, name)}`
  }
}
