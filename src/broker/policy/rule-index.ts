import type { CallerFacts } from './caller-facts.ts'
import type { CallerKey, CallerTest } from './caller-matcher.ts'
import { valueAt } from './patterns.ts'
import type { Denial, PolicyIndex, Rule, Target } from './model.ts'

/** So few entries are tried at once, rather than asking which of them name the caller. */
const few = 4

/**
 * Finds rules and denials by whom they name exactly and by tenant or scope, and offers what is in both lists: a decision
 * costs the same with ten rules and with ten thousand. Callers who are named by a pattern can only be found among all
 * patterns for their issuer.
 */
export function indexPolicy(rules: readonly Rule[], denials: readonly Denial[]): PolicyIndex {
  const byCaller = new CallerLists()
  const byTenant = new Lists()
  const anyTenantByScope = new Lists()
  for (const { order, scopes, callers, tenants } of rules) {
    if (scopes.size === 0) continue
    byCaller.add(callers, order)
    if (tenants === '*') for (const scope of scopes) anyTenantByScope.add(scope, order)
    else for (const tenant of tenants) byTenant.add(tenant, order)
  }
  return {
    rules: (caller, { tenant, scope }) => {
      const ofTarget = [byTenant.get(tenant), anyTenantByScope.get(scope)]
      const orders = count(ofTarget) <= few ? ofTarget.flat() : inBoth(ofTarget, byCaller.of(caller))
      return orders.flatMap(order => rules[order] ?? [])
    },
    denials: indexDenials(denials),
  }
}

/** Each denial is in one place: under its tenants, else under its callers, else among the rest. */
function indexDenials(denials: readonly Denial[]) {
  const byTenant = new Lists()
  const byTenantAndCaller = new CallerLists()
  const byCaller = new CallerLists()
  const rest: number[] = []
  for (const { order, tenants, callers } of denials) {
    if (tenants) {
      for (const tenant of tenants) byTenant.add(tenant, order)
      if (callers) byTenantAndCaller.add(callers, order)
      else byTenantAndCaller.addAnybody(order)
    } else if (callers) byCaller.add(callers, order)
    else rest.push(order)
  }
  return (caller: CallerFacts, { tenant }: Target): readonly Denial[] => {
    if (denials.length === 0) return none
    const ofTenant = byTenant.get(tenant)
    const found = ofTenant.length <= few ? ofTenant : inBoth([ofTenant], byTenantAndCaller.of(caller))
    return [...rest, ...found, ...byCaller.of(caller).flat()].flatMap(order => denials[order] ?? [])
  }
}

const none: readonly never[] = []

/** Places in the file, ascending. */
type Orders = readonly number[]

const count = (lists: readonly Orders[]): number => lists.reduce((sum, { length }) => sum + length, 0)

/** What one of `some` and one of `others` hold both. Not in order, and perhaps twice. */
function inBoth(some: readonly Orders[], others: readonly Orders[]): Orders {
  const found: number[] = []
  for (const one of some) {
    for (const other of others) {
      const [short, long] = one.length < other.length ? [one, other] : [other, one]
      for (const order of short) if (holds(long, order)) found.push(order)
    }
  }
  return found
}

/** Binary search. */
function holds(orders: Orders, wanted: number): boolean {
  let [from, to] = [0, orders.length]
  while (from < to) {
    const middle = (from + to) >>> 1
    const there = orders[middle] ?? wanted
    if (there === wanted) return true
    if (there < wanted) from = middle + 1
    else to = middle
  }
  return false
}

/** Lists by key. */
class Lists {
  readonly #lists = new Map<unknown, number[]>()

  /** Entries come in the order of the file. */
  add(key: unknown, order: number): void {
    const list = this.#lists.get(key)
    if (list === undefined) this.#lists.set(key, [order])
    else if (list.at(-1) !== order) list.push(order)
  }

  get = (key: unknown): Orders => this.#lists.get(key) ?? none
}

/** What tests compare of one issuer's callers. */
class IssuerLists {
  readonly subjects = new Lists()
  /** By the claim's path, as text. */
  readonly claims = new Map<string, { readonly path: readonly string[]; readonly values: Lists }>()

  claim(path: readonly string[]): Lists {
    const name = JSON.stringify(path)
    const known = this.claims.get(name) ?? { path, values: new Lists() }
    this.claims.set(name, known)
    return known.values
  }
}

/** Lists by the callers that entries name. */
class CallerLists {
  readonly #issuers = new Map<string, IssuerLists>()
  readonly #named = { issuer: new Lists(), apiKey: new Lists(), uri: new Lists(), dnsName: new Lists() }
  /** Entries for callers of a kind, whoever they are; under one key each, so that no list holds an entry twice. */
  readonly #kinds = new Lists()
  readonly #anybody: number[] = []

  add(callers: readonly CallerTest[], order: number): void {
    for (const { key } of callers) this.#addKey(key, order)
  }

  /** An entry that names no callers speaks of all of them. */
  addAnybody(order: number): void {
    this.#anybody.push(order)
  }

  #addKey(key: CallerKey, order: number): void {
    switch (key.by) {
      case 'subject':
        return this.#issuer(key.issuer).subjects.add(key.is, order)
      case 'claim':
        return this.#issuer(key.issuer).claim(key.path).add(key.is, order)
      case 'certificate':
      case 'secret':
        return this.#kinds.add(key.by, order)
      case 'issuer':
      case 'apiKey':
      case 'uri':
      case 'dnsName':
        return this.#named[key.by].add(key.is, order)
      default:
        return key satisfies never
    }
  }

  #issuer(name: string): IssuerLists {
    const known = this.#issuers.get(name) ?? new IssuerLists()
    this.#issuers.set(name, known)
    return known
  }

  /** Every entry that names the caller is in one of them. */
  of(caller: CallerFacts): readonly Orders[] {
    const { issuer, apiKey, uri, dnsName } = this.#named
    if (caller.kind === 'apiKey') return [this.#anybody, apiKey.get(caller.key)]
    if (caller.kind === 'secret') return [this.#anybody, this.#kinds.get(caller.kind)]
    if (caller.kind === 'certificate') {
      const patterns = this.#kinds.get(caller.kind)
      return [this.#anybody, patterns, ...caller.uris.map(uri.get), ...caller.dnsNames.map(dnsName.get)]
    }
    const lists = [this.#anybody, issuer.get(caller.issuer)]
    const own = this.#issuers.get(caller.issuer)
    if (own === undefined) return lists
    lists.push(own.subjects.get(caller.subject))
    for (const { path, values } of own.claims.values()) {
      const value = valueAt(caller.claims, path)
      if (Array.isArray(value)) lists.push(...value.map(values.get))
      else lists.push(values.get(value))
    }
    return lists
  }
}
