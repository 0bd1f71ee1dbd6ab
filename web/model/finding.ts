/**
 * How serious a finding is: all or most requests fail, or will soon; those of single tenants or callers fail; it needs
 * attention; good to know.
 */
export type Level = 'failing' | 'partial' | 'attention' | 'notice'

/** A step of issuing a token. The page has a tile for each. */
export type Component = 'replica' | 'issuers' | 'policy' | 'cache' | 'redis' | 'identity' | 'entra' | 'tenants'

/** Current values that a person needs to correct something, with a name each. */
export interface Facts {
  /** What they are, as the beginning of a sentence. */
  readonly title: string
  readonly values: readonly (readonly [name: string, value: string])[]
}

/** One thing that is not as it should be. */
export interface Finding {
  /** Names the rule that found it, for tests and for stable rows on the page. */
  readonly id: string
  readonly level: Level
  /** Where it is: the tile of this step gets the colour of its most serious finding. */
  readonly component: Component
  /** The state of that step in one to four words. */
  readonly word: string
  /** What is wrong and what it means for callers, without a full stop. Changes as rarely as possible. */
  readonly sentence: string
  /** Who or what is affected, as the end of a sentence. */
  readonly affected: string
  /** What must not be done, or what a restart costs: whole sentences, to be read before the actions. */
  readonly warnings?: readonly string[] | undefined
  /** What to do, in this order. Markdown: `code` only. */
  readonly actions: readonly string[]
  /** What the broker does by itself once the cause is removed: whole sentences. */
  readonly recovery?: string | undefined
  readonly facts?: Facts | undefined
  /** When it began, in ISO 8601, if that is known. */
  readonly since?: string | undefined
  /** When it will affect someone, in ISO 8601, if it does not yet. */
  readonly from?: string | undefined
  /** What happens next, and when, in milliseconds since 1970. */
  readonly deadline?: { readonly what: string; readonly at: number } | undefined
}
