import { withDeadline } from '../broker/lib/async/deadline.ts'
import type { CheckId } from './check-table.ts'

/**
 * How a check ended. `warning`: the broker works, and something should be changed. `skipped`: there is nothing to check, or an
 * earlier check failed.
 */
export type Status = (typeof statuses)[number]

/** Every {@link Status}. */
export const statuses = ['ok', 'warning', 'failed', 'skipped'] as const

/** One line of a check, in words without credentials. */
export interface Line {
  readonly status: Status
  readonly text: string
  /** What the line is about, if the check is made for several: a variable, a tenant, an issuer. */
  readonly subject?: string
  /** Why, and what to know before the fix. */
  readonly advice?: string
  /** What to do, each a line that can be pasted if it is a command or a URL. Warnings and failed lines have at least one. */
  readonly fix?: readonly string[]
}

/** A line with the check that it belongs to. */
export interface Finding extends Line {
  readonly id: CheckId
  /** The check that failed, and for which this one was skipped. */
  readonly because?: CheckId
}

/** What a check returns: its lines, and what later checks need of it. */
export interface Result<T> {
  readonly lines: readonly Line[]
  /** `undefined` if later checks cannot be made. */
  readonly value: T | undefined
}

/** The outcome of a check, for the checks that need it: its value, or the check because of which there is none. */
export type Step<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly because: CheckId; readonly text: string }

type Steps = Readonly<Record<string, Step<unknown>>>
type ValuesOf<Needs extends Steps> = { readonly [Name in keyof Needs]: Needs[Name] extends Step<infer T> ? T : never }

const areValuesOf = <Needs extends Steps>(_values: object, needs: Needs): _values is ValuesOf<Needs> =>
  Object.values(needs).every(step => step.ok)

/** A line that says that all is well. */
export const ok = <T>(value: T, text: string, subject?: string): Result<T> => ({
  lines: [{ status: 'ok', text, ...(subject !== undefined && { subject }) }],
  value,
})

/** A check that does not apply. Checks that need its value are skipped too. */
export const notApplicable = <T = never>(text: string, value?: T): Result<T> => ({
  lines: [{ status: 'skipped', text }],
  value,
})

/** A problem that does not keep the broker from working. */
export const warning = <T>(value: T, line: Omit<Line, 'status'>): Result<T> => ({
  lines: [{ status: 'warning', ...line }],
  value,
})

/** Something that must be corrected. */
export const failed = (line: Omit<Line, 'status'>): Result<never> => ({
  lines: [{ status: 'failed', ...line }],
  value: undefined,
})

/** When the checks must be finished. */
export interface ChecksOptions {
  /** Monotonic milliseconds. */
  readonly monotonic: () => number
  /** Milliseconds for all checks. Those that do not fit are not made, and count as failed. */
  readonly totalMs: number
  /** Called with each line, in order. */
  readonly found: (finding: Finding) => void
}

/** Makes checks, one after the other, and keeps what they find. */
export class Checks {
  readonly findings: Finding[] = []
  readonly #options: ChecksOptions
  readonly #endsAt: number

  constructor(options: ChecksOptions) {
    this.#options = options
    this.#endsAt = options.monotonic() + options.totalMs
  }

  /** Milliseconds that are left. */
  remainingMs(): number {
    return this.#endsAt - this.#options.monotonic()
  }

  /**
   * Makes a check, unless one that it needs failed.
   *
   * @param needs earlier checks, by the name of their value
   * @param work gets these values, and a signal that aborts at the deadline
   * @param ms milliseconds for this check; less if less is left of the total. A check that does not end by its signal fails
   */
  async run<T, Needs extends Steps>(
    id: CheckId,
    needs: Needs,
    work: (values: ValuesOf<Needs>, signal: AbortSignal) => Promise<Result<T>> | Result<T>,
    ms = defaultMs,
  ): Promise<Step<T>> {
    const missing = Object.values(needs).find(step => !step.ok)
    if (missing?.ok === false) return this.skip(id, missing)
    const left = this.remainingMs()
    if (left <= 0) return this.#record(id, outOfTime(this.#options.totalMs))
    const values = Object.fromEntries(
      Object.entries(needs).map(([name, step]) => [name, step.ok ? step.value : undefined]),
    )
    if (!areValuesOf(values, needs)) throw new Error(`${id} has no values`)
    const within = Math.min(ms, left)
    // What a check says about its time-out is better than what can be said here.
    const signal = AbortSignal.timeout(Math.ceil(within))
    const result = await withDeadline(
      async () => work(values, signal),
      within + graceMs,
      () => new OverdueError(),
    ).catch((thrown: unknown) => {
      if (thrown instanceof OverdueError) return overdue(within)
      throw thrown
    })
    return this.#record(id, result)
  }

  /** Records that a check was not made because of an earlier one. */
  skip(id: CheckId, { because, text }: { readonly because: CheckId; readonly text: string }, subject?: string) {
    this.#add({ id, status: 'skipped', text: `skipped because of ${text}`, because, ...(subject && { subject }) })
    return { ok: false, because, text } as const
  }

  /** Records a line that was found while another check was made. */
  add(id: CheckId, line: Line): void {
    this.#add({ id, ...line })
  }

  #record<T>(id: CheckId, { lines, value }: Result<T>): Step<T> {
    for (const line of lines) this.#add({ id, ...line })
    return value === undefined ? { ok: false, because: id, text: id } : { ok: true, value }
  }

  #add(finding: Finding): void {
    this.findings.push(finding)
    this.#options.found(finding)
  }
}

/** Milliseconds for a check that sets no other deadline. */
const defaultMs = 10_000
/** Milliseconds for a check to end after its signal has aborted. */
const graceMs = 1_000

class OverdueError extends Error {}

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)} s`

const overdue = (ms: number): Result<never> =>
  failed({
    text: `there was no result within ${seconds(ms)}`,
    fix: ['run it again; if it repeats, look at the network and the file systems of this machine'],
  })

const outOfTime = (ms: number): Result<never> =>
  failed({
    text: `not made: the time for all checks, ${seconds(ms)}, is over`,
    fix: ['correct what failed above, and run it again'],
  })
