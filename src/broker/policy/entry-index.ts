import type { CallerFacts } from './caller-facts.ts'
import type { AgentIdentity, Denial, PolicyIndex, Rule } from './model.ts'

type Entry = Rule | Denial

/** Lists with more callers than this remember which of their entries list a caller. Shorter ones are compared each time. */
const mostCompared = 32
/** What all lists together remember, in entries: about 8 bytes each. */
const mostRemembered = 1_000_000
/** What one caller and list weigh besides, in entries. */
const weightOfOne = 16

/** Counts what the lists of a policy remember. All of them forget it when it is too much. */
class Memory {
  #left = mostRemembered
  /** Changes when everything must be forgotten. */
  generation = 0

  charge(entries: number): void {
    this.#left -= weightOfOne + entries
    if (this.#left >= 0) return
    this.generation++
    this.#left = mostRemembered - weightOfOne - entries
  }
}

/**
 * Entries of a policy, and which of them list a caller. To compare a caller with ten thousand entries takes milliseconds.
 * That must not happen for each request: denied requests are neither cached nor limited. So the result of a long list is
 * remembered for as long as the caller exists. A caller never changes, and belongs to one version of the policy.
 */
class EntryList<T extends Entry> {
  readonly #entries: T[] = []
  readonly #memory: Memory
  #callers = 0
  /** Created on first use: a policy can have a list for each of 100,000 tenants. */
  #remembered: WeakMap<CallerFacts, readonly T[]> | undefined
  #generation = 0

  constructor(memory: Memory) {
    this.#memory = memory
  }

  add(entry: T): void {
    this.#entries.push(entry)
    this.#callers += entry.callers?.length ?? 0
  }

  /** The entries that list a caller, or that have no callers. */
  of(caller: CallerFacts): readonly T[] {
    if (this.#callers <= mostCompared) return this.#compare(caller)
    if (this.#generation !== this.#memory.generation) this.#forget()
    const known = this.#remembered?.get(caller)
    if (known) return known
    const entries = this.#compare(caller)
    this.#memory.charge(entries.length)
    if (this.#generation !== this.#memory.generation) this.#forget()
    this.#remembered ??= new WeakMap()
    this.#remembered.set(caller, entries)
    return entries
  }

  #compare(caller: CallerFacts): readonly T[] {
    return this.#entries.filter(({ callers }) => callers?.some(test => test.matches(caller)) ?? true)
  }

  #forget(): void {
    this.#generation = this.#memory.generation
    this.#remembered = undefined
  }
}

/** Entries by tenant. A rule without tenants is in no list; a denial without tenants applies to every tenant. */
class TenantLists<T extends Entry> {
  readonly #memory: Memory
  readonly #everywhere: EntryList<T>
  readonly #lists = new Map<string, EntryList<T>>()

  constructor(memory: Memory) {
    this.#memory = memory
    this.#everywhere = new EntryList(memory)
  }

  add(entry: T): void {
    if (entry.tenants === undefined || entry.tenants === '*') this.#everywhere.add(entry)
    else
      for (const tenant of entry.tenants)
        this.#lists.getOrInsertComputed(tenant, () => new EntryList<T>(this.#memory)).add(entry)
  }

  of(tenant: string, caller: CallerFacts): readonly T[] {
    const everywhere = this.#everywhere.of(caller)
    const named = this.#lists.get(tenant)?.of(caller)
    return named === undefined ? everywhere : named.concat(everywhere)
  }
}

/**
 * Indexes a policy, since long policies have many tenants: a decision tries only the entries for its tenant, and those for
 * every tenant, that list its caller.
 */
export class EntryIndex implements PolicyIndex {
  readonly #memory = new Memory()
  readonly #rules = new TenantLists<Rule>(this.#memory)
  readonly #denials = new TenantLists<Denial>(this.#memory)
  readonly #permitting = new EntryList<Rule>(this.#memory)
  readonly #barring = new EntryList<Denial>(this.#memory)
  readonly #applications = new Map<string, string[]>()
  readonly #agents = new Map<string, string>()

  /** @param applications name → client id */
  constructor(
    applications: ReadonlyMap<string, string> = new Map(),
    agents: ReadonlyMap<string, AgentIdentity> = new Map(),
  ) {
    for (const [name, { id }] of agents) this.#agents.set(id, name)
    for (const [name, clientId] of applications) this.#applications.getOrInsertComputed(clientId, () => []).push(name)
  }

  addRule(rule: Rule): void {
    this.#rules.add(rule)
    if (rule.permissions.size > 0) this.#permitting.add(rule)
  }

  addDenial(denial: Denial): void {
    this.#denials.add(denial)
    const { callers, tenants, scopes, clientIds, agentIds } = denial
    if (callers && !tenants && !scopes && !clientIds && !agentIds) this.#barring.add(denial)
  }

  readonly rules: PolicyIndex['rules'] = (tenant, caller) => this.#rules.of(tenant, caller)
  readonly denials: PolicyIndex['denials'] = (tenant, caller) => this.#denials.of(tenant, caller)
  readonly permitting: PolicyIndex['permitting'] = caller => this.#permitting.of(caller)
  readonly barring: PolicyIndex['barring'] = caller => this.#barring.of(caller)
  readonly applications: PolicyIndex['applications'] = clientId => this.#applications.get(clientId) ?? []
  readonly agent: PolicyIndex['agent'] = id => this.#agents.get(id)
}
