/** How serious a finding is: requests fail or will soon; it needs attention; good to know. */
export type Level = 'failing' | 'attention' | 'notice'

/** A station of the way of a token. The page has a tile for each. */
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
  /** Where it is: the tile of this station gets the colour of its most serious finding. */
  readonly component: Component
  /** The state of that station in one to four words. */
  readonly word: string
  /** What is wrong and what it means for callers, without a full stop. */
  readonly sentence: string
  /** Who or what is affected, as the end of a sentence. */
  readonly affected: string
  /** What to do, the first thing first. Markdown: `code` only. */
  readonly actions: readonly string[]
  readonly facts?: Facts | undefined
  /** When it began, in ISO 8601, if that is known. */
  readonly since?: string | undefined
  /** When it will affect someone, in ISO 8601, if it does not yet. */
  readonly from?: string | undefined
}
