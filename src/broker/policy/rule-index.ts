import type { Denial, PolicyIndex, Rule } from './model.ts'

/**
 * Finds rules and denials by tenant, of which long policies have many. A decision tries only the entries that name its
 * tenant and those for every tenant, so it takes longer the more of them there are.
 */
export function indexPolicy(rules: readonly Rule[], denials: readonly Denial[]): PolicyIndex {
  return { rules: byTenant(rules), denials: byTenant(denials) }
}

/** A rule without tenants grants no token and is in no list; a denial without tenants is for every tenant. */
function byTenant<T extends Rule | Denial>(entries: readonly T[]): (tenant: string) => readonly T[] {
  const everywhere: T[] = []
  const lists = new Map<string, T[]>()
  for (const entry of entries) {
    if (entry.tenants === undefined || entry.tenants === '*') everywhere.push(entry)
    else for (const tenant of entry.tenants) lists.getOrInsertComputed(tenant, () => []).push(entry)
  }
  return tenant => {
    const named = lists.get(tenant)
    return named ? named.concat(everywhere) : everywhere
  }
}
