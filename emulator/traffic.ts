import type { IncomingMessage } from 'node:http'
import type { FaultPoint } from './faults.ts'
import { decodeJws, type Json } from './jws.ts'

/** Requests and what became of them: `issued`, `served`, `AADSTS…`, `status-…` or a fault's kind. */
export interface Tally {
  readonly total: number
  readonly outcomes: Readonly<Record<string, number>>
}

/** What the emulator was asked since the start or the last reset. A request counts once its outcome is decided. */
export interface Counts {
  readonly endpoints: Readonly<Record<FaultPoint, Tally>>
  /** Token requests by tenant, as the path spells it in lower case. */
  readonly tenants: Readonly<Record<string, Tally>>
  /** Most token requests that were open at the same time. */
  readonly maxConcurrentTokenRequests: number
  /** Times a client followed a `redirect` fault. */
  readonly redirectsFollowed: number
}

/** One request to the token or the identity endpoint. Secrets are replaced by `[secret]`. */
export interface RecordedRequest {
  readonly endpoint: 'token' | 'identity'
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Form fields except `client_assertion`; the last of duplicates. */
  readonly form: Readonly<Record<string, string>>
  /** `client_assertion`, decoded and not verified; absent when there was none that can be read. */
  readonly assertion?: { readonly header: Json; readonly payload: Json }
}

const kept = 200
const secretHeaders = new Set(['x-identity-header', 'authorization', 'cookie', 'proxy-authorization'])

class Count {
  total = 0
  readonly outcomes: Record<string, number> = {}

  add(outcome: string): void {
    this.total += 1
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1
  }
}

/** Counts and remembers requests. */
export class Traffic {
  #endpoints = fresh()
  #tenants = new Map<string, Count>()
  #open = 0
  #mostOpen = 0
  #redirects = 0
  #requests: RecordedRequest[] = []

  /** A token request began. */
  opened(): void {
    this.#open += 1
    this.#mostOpen = Math.max(this.#mostOpen, this.#open)
  }

  /** A token request ended, answered or not. */
  closed(): void {
    this.#open -= 1
  }

  /** What a request came to; `tenant` only for token requests. */
  count(endpoint: FaultPoint, outcome: string, tenant?: string): void {
    this.#endpoints[endpoint].add(outcome)
    if (tenant === undefined) return
    const tally = this.#tenants.get(tenant) ?? new Count()
    this.#tenants.set(tenant, tally)
    tally.add(outcome)
  }

  redirected(): void {
    this.#redirects += 1
  }

  /** Keeps the last 200. */
  record(endpoint: RecordedRequest['endpoint'], request: IncomingMessage, url: URL, form: URLSearchParams): void {
    const jws = decodeJws(form.get('client_assertion') ?? '')
    const fields = [...form].filter(([name]) => name !== 'client_assertion')
    this.#requests.push({
      endpoint,
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: withoutSecrets(request),
      form: Object.fromEntries(fields.map(([name, value]) => [name, name === 'client_secret' ? '[secret]' : value])),
      ...(jws ? { assertion: { header: jws.header, payload: jws.payload } } : {}),
    })
    if (this.#requests.length > kept) this.#requests.shift()
  }

  /** A copy that later requests do not change. */
  counts(): Counts {
    return structuredClone({
      endpoints: this.#endpoints,
      tenants: Object.fromEntries(this.#tenants),
      maxConcurrentTokenRequests: this.#mostOpen,
      redirectsFollowed: this.#redirects,
    })
  }

  /** Oldest first. */
  requests(): RecordedRequest[] {
    return [...this.#requests]
  }

  /** Forgets counts and requests; those still open count on. */
  reset(): void {
    this.#endpoints = fresh()
    this.#tenants = new Map()
    this.#mostOpen = this.#open
    this.#redirects = 0
    this.#requests = []
  }
}

function fresh(): Record<FaultPoint, Count> {
  return { token: new Count(), identity: new Count(), discovery: new Count(), callers: new Count() }
}

function withoutSecrets(request: IncomingMessage): Record<string, string> {
  const entries = Object.entries(request.headers).map(([name, value]) => [
    name,
    secretHeaders.has(name) ? '[secret]' : String(value),
  ])
  return Object.fromEntries(entries)
}
