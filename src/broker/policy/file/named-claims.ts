import { isObject, membersOf } from '../../lib/json-members.ts'
import { claimPath } from '../patterns.ts'
import type { CallerText } from './schema.ts'

/** Names of claims as a tree: a JSON pointer such as `/kubernetes.io/namespace` has one node per part. */
export interface ClaimNames {
  /** Whether a name ends here. */
  isNamed: boolean
  readonly below: Map<string, ClaimNames>
}

/** These say who the caller is, and are kept whether or not a rule names them. */
const identifying = ['iss', 'sub', 'azp', 'appid']

/** Collects the claims that the rules and denials of a policy name, by the issuer's name. */
export class NamedClaims {
  readonly byIssuer: ReadonlyMap<string, ClaimNames>

  /** @param issuers the names of all issuers of the policy */
  constructor(issuers: readonly string[]) {
    this.byIssuer = new Map(issuers.map(name => [name, treeOf(identifying)]))
  }

  /** Adds the claims of one caller of a rule or a denial. */
  readonly add = ({ issuer = '', claims }: CallerText): void => {
    const names = this.byIssuer.get(issuer)
    if (names) for (const name of Object.keys(claims ?? {})) addName(names, claimPath(name) ?? [])
  }
}

/** The claims that are kept of an issuer for which the policy names none. */
export const noNames: ClaimNames = treeOf(identifying)

function treeOf(names: readonly string[]): ClaimNames {
  const tree: ClaimNames = { isNamed: false, below: new Map() }
  for (const name of names) addName(tree, [name])
  return tree
}

function addName(tree: ClaimNames, path: readonly string[]): void {
  const end = path.reduce(
    ({ below }, part) => below.getOrInsertComputed(part, () => ({ isNamed: false, below: new Map() })),
    tree,
  )
  end.isNamed = true
}

/**
 * Returns the claims that are named, where they were. Rules decide about them as about all claims: they compare texts,
 * numbers and booleans, alone or in an array, so that nothing else is kept. What is not text, number or boolean in an
 * array becomes `null`, because a name may contain an index.
 */
export const keepNamed = (claims: object, names: ClaimNames): Readonly<Record<string, unknown>> =>
  membersOf(keep(claims, names) ?? {})

function keep(value: unknown, { isNamed, below }: ClaimNames): unknown {
  if (!isObject(value)) return isNamed && isCompared(value) ? value : undefined
  const parts = [...below]
    .filter(([name]) => Object.hasOwn(value, name))
    .map(([name, names]) => [name, keep(value[name], names)] as const)
    .filter(([, part]) => part !== undefined)
  if (!isNamed || !Array.isArray(value)) return parts.length === 0 ? undefined : Object.fromEntries(parts)
  const items = value.map((item: unknown) => (isCompared(item) ? item : null))
  for (const [name, part] of parts) if (name !== 'length') items[Number(name)] = part
  return items
}

const isCompared = (value: unknown): boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/**
 * About how many bytes a value of JSON takes in memory: rather too many than too few. Its depth must be limited, as that of
 * {@link keepNamed} is.
 */
export function weightOf(value: unknown): number {
  if (typeof value === 'string') return 24 + 2 * value.length
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + 8 + weightOf(item), 32)
  if (!isObject(value)) return 16
  return Object.entries(value).reduce((sum, [name, item]) => sum + 32 + 2 * name.length + weightOf(item), 64)
}
