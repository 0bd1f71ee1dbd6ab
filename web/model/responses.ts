import type { cacheBody, healthBody } from '../../src/http/operations/operations-bodies.ts'
import type { decisionsBody, entriesBody, failuresBody } from '../../src/http/operations/list-bodies.ts'

/** What the broker responds: the very types of its bodies, so that the page fails to compile if they change. */

/** `GET /health` */
export type Health = ReturnType<typeof healthBody>
/** One of `upstreams` of {@link Health}. */
export type Upstream = Health['upstreams'][number]
/** `GET /cache` */
export type Cache = ReturnType<typeof cacheBody>
/** One series of `counters` of {@link Cache}, with the labels that the page reads. */
export interface Counted {
  readonly endpoint?: string
  readonly outcome?: string
  readonly result?: string
  readonly count: number
  readonly seconds?: number
}
/** `GET /cache/entries` */
export type Entries = ReturnType<typeof entriesBody>
/** One cached token, without the token. */
export type Entry = Entries['entries'][number]
/** `GET /cache/failures` */
export type Failures = ReturnType<typeof failuresBody>
/** One cached failure. */
export type Failure = Failures['failures'][number]
/** `GET /decisions` */
export type Decisions = ReturnType<typeof decisionsBody>
/** One request that was denied or failed. */
export type Decision = Decisions['decisions'][number]

/** What one round of requests read. */
export interface Snapshot {
  /** The broker's clock, in milliseconds since 1970. */
  readonly now: number
  readonly health: Health
  readonly cache: Cache
  readonly failures: readonly Failure[]
  /** Whether there are more failures than these. */
  readonly hasMoreFailures: boolean
  readonly decisions: readonly Decision[]
  /** Whether there are older decisions than these. */
  readonly hasMoreDecisions: boolean
  /**
   * When the first cached token is no longer issued, in milliseconds since 1970. Read only while new tokens fail for all
   * tenants.
   */
  readonly firstEnd: number | undefined
}

/** `DELETE /tokens` */
export interface Purged {
  readonly dropped: number
  readonly replicas: string
}

/** What the page reads, by path. */
export interface Responses {
  readonly health: Health
  readonly cache: Cache
  readonly 'cache/entries': Entries
  readonly 'cache/failures': Failures
  readonly decisions: Decisions
  readonly tokens: Purged
}

/** The parameters of a request; an `undefined` one is not sent. */
export type Query = Readonly<Record<string, string | undefined>>

/** Requests to the broker, with a credential that nothing else has. */
export interface Client {
  /** Reads JSON; `now` is the broker's clock. Rejects with an error of client.js. */
  get<Path extends Exclude<keyof Responses, 'tokens'>>(
    path: Path,
    query?: Query,
  ): Promise<{ readonly body: Responses[Path]; readonly now: number }>
  /** `DELETE /tokens`. Rejects as `get` does. */
  purge(query: Query): Promise<Purged>
  /** Drops the credential; every request from then on rejects. */
  forget(): void
}
