import { comparable, guidsIn, isExchange, resourceOf } from '../../../lib/identifiers.ts'
import type { ReferenceCheck } from './references.ts'
import type { Path, PolicyText, SchemaError } from '../schema.ts'
import { pathText } from '../schema-errors.ts'

/** Scopes in the policy file: what their names stand for, and which ones must not be granted. */

/** The errors of a scope in the file, which may be a name. */
export type ScopeCheck = (scope: string, at: Path) => readonly SchemaError[]

/** Names that would never reach the policy: scopes of OpenID Connect, which Entra's protocol ignores in requests. */
const ignoredNames = new Set(['openid', 'profile'])

/** The errors of the section `scopes`, except for the form of its names. */
export const validateScopeNames = ({ scopes = {} }: PolicyText): readonly SchemaError[] =>
  Object.entries(scopes).flatMap(([name, scope]) => {
    const at: Path = ['scopes', name]
    const what = 'is a scope of OpenID Connect, which clients add by themselves; choose another name'
    return [...(ignoredNames.has(name) ? [{ at, what }] : []), ...validateWildcard(scope, at)]
  })

/** Creates the check of scopes in denials: they are known, and name one resource. */
export const deniedScopeCheckOf =
  (checkReference: ReferenceCheck): ScopeCheck =>
  (scope, at) => {
    const what = checkReference('scopes', scope)
    return what === undefined ? validateWildcard(scope, at) : [{ at, what }]
  }

/**
 * Creates the check of scopes that rules grant: a caller with a token for the broker itself, or with a new client
 * assertion, could grant itself everything. A scope's name has the errors of the scope.
 */
export function grantedScopeCheckOf(policy: PolicyText, checkReference: ReferenceCheck): ScopeCheck {
  const check = deniedScopeCheckOf(checkReference)
  const audiences = audiencesOf(policy)
  return (text, at) => {
    const errors = check(text, at)
    const scope = scopeIn(policy, text)
    if (errors.length > 0 || scope.includes('*')) return errors
    const resource = comparable(resourceOf(scope))
    const could = 'because a caller with such a token could impersonate'
    if (isExchange(resource)) {
      return [{ at, what: `must not be the audience of client assertions, ${could} the application` }]
    }
    const own = [resource, ...guidsIn(resource)].map(each => audiences.get(each)).find(each => each !== undefined)
    if (own === undefined) return []
    return [{ at, what: `must not be for the audience "${own}" of this broker's callers, ${could} another one` }]
  }
}

const validateWildcard = (scope: string, at: Path): readonly SchemaError[] =>
  scope.includes('*') ? [{ at, what: 'must not contain "*": a scope names one resource' }] : []

/** The audiences of the issuers, by their comparable text and by each GUID in it. */
const audiencesOf = ({ issuers = {} }: PolicyText): ReadonlyMap<string, string> =>
  new Map(
    Object.values(issuers)
      .flatMap(issuer => issuer.audiences)
      .flatMap(audience => [comparable(audience), ...guidsIn(audience)].map(text => [text, audience] as const)),
  )

/** The scope that an entry of a valid file stands for. */
const scopeIn = ({ scopes }: Pick<PolicyText, 'scopes'>, text: string): string =>
  scopes !== undefined && Object.hasOwn(scopes, text) ? (scopes[text] ?? text) : text

/** Places of one scope that a hint lists. */
const maxPlaces = 3

/** The scopes of a policy as its rules and denials are compiled: names become scopes, and scopes that have a name are noted. */
export class NamedScopes {
  readonly byName: ReadonlyMap<string, string>
  /** By scope: its first name. */
  readonly #names = new Map<string, string>()
  /** By scope: the places where a rule or a denial writes it although it has a name. */
  readonly #written = new Map<string, { readonly places: string[]; count: number }>()

  constructor(scopes: PolicyText['scopes'] = {}) {
    this.byName = new Map(Object.entries(scopes))
    for (const [name, scope] of this.byName) if (!this.#names.has(scope)) this.#names.set(scope, name)
  }

  /** @param at the place of the list in the file */
  compile(scopes: readonly string[] | undefined, at: Path): ReadonlySet<string> {
    return new Set(
      scopes?.map((text, nth) => {
        if (this.#names.has(text)) this.#note(text, [...at, 'scopes', nth])
        return this.byName.get(text) ?? text
      }),
    )
  }

  #note(scope: string, at: Path): void {
    const written = this.#written.getOrInsertComputed(scope, () => ({ places: [], count: 0 }))
    written.count++
    if (written.places.length < maxPlaces) written.places.push(pathText(at))
  }

  /** Which scopes have a name, and where the file writes them without it, as text for people. */
  hints(): readonly string[] {
    return [...this.#written].map(([scope, { places, count }]) => {
      const more = count > places.length ? ` and ${count - places.length} more` : ''
      return `"${scope}" has the name ${this.#names.get(scope)} under scopes; it is written out in ${places.join(', ')}${more}`
    })
  }
}
