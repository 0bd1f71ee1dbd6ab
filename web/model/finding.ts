/** How serious a finding is: requests fail or will soon; it needs attention; good to know. */
export type Level = 'failing' | 'attention' | 'notice'

/** One thing that is not as it should be. */
export interface Finding {
  /** Names the rule that found it, for tests and for stable rows on the page. */
  readonly id: string
  readonly level: Level
  /** What is wrong and what it means for callers, without a full stop. */
  readonly sentence: string
  /** What to do, the first thing first. Markdown: `code` only. */
  readonly actions: readonly string[]
  /** When it began, in ISO 8601, if that is known. */
  readonly since?: string | undefined
}
