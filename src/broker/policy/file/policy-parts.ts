import type { PolicyText, RuleText } from './schema.ts'

/** What a policy file has besides tenants and rules, of which a file can have very many. */
export type RestText = Omit<PolicyText, 'tenants' | 'rules'>

/** A part of a valid policy file: plain data that another thread can send. */
export interface PolicyPart {
  /** Name and id of each tenant. */
  readonly tenants?: readonly (readonly [name: string, id: string])[]
  readonly rest?: RestText
  readonly rules?: readonly RuleText[]
}

const tenantsInPart = 2_000
const rulesInPart = 100

/** The parts of a policy: its tenants, then all but the rules, then the rules, which refer to both. */
export function* partsOf({ tenants = {}, rules, ...rest }: PolicyText): Iterable<PolicyPart> {
  for (const some of inChunks(Object.entries(tenants), tenantsInPart)) yield { tenants: some }
  yield { rest }
  for (const some of inChunks(rules, rulesInPart)) yield { rules: some }
}

function* inChunks<T>(list: readonly T[], size: number): Iterable<readonly T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size)
}
