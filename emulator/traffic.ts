import type { IncomingMessage } from 'node:http'
import type { FaultPoint } from './faults.ts'
import { decodeJws, type Json } from './jws.ts'

/** Requests by outcome: `issued`, `served`, `AADSTS…`, `status-…` or the kind of a fault. */
export interface Tally {
  readonly total: number
  readonly outcomes: Readonly<Record<string, number>>
}

/** Requests since the start or the last reset. A request is counted when its outcome is known. */
export interface Counts {
  readonly endpoints: Readonly<Record<FaultPoint, Tally>>
  /** Token requests by tenant: the path's tenant in lower case. */
  readonly tenants: Readonly<Record<string, Tally>>
  /** The largest number of token requests that were open at the same time. */
  readonly maxConcurrentTokenRequests: number
  /** How often a client followed a `redirect` fault. */
  readonly redirectsFollowed: number
}

/** One request to the token or the identity endpoint. Secrets are replaced by `[secret]`. */
export interface RecordedRequest {
  readonly endpoint: 'token' | 'identity'
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Form fields except `client_assertion`. Of duplicates, the last one. */
  readonly form: Readonly<Record<string, string>>
  /** `client_assertion`, decoded but not verified. Absent if the request had none or it could not be decoded. */
  readonly assertion?: { readonly header: Json; readonly payload: Json }
}

const maxRecorded = 200
const secretHeaders = new Set(['x-identity-header', 'authorization', 'cookie', 'proxy-authorization'])

class Count {
  total = 0
  readonly outcomes: Record<string, number> = {}

  add(outcome: string): void {
    this.total += 1
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1
  }
}

/** Counts and records requests. */
export class Traffic {
  #endpoints = fresh()
  #tenants = new Map<string, Count>()
  #open = 0
  #mostOpen = 0
  #redirects = 0
  #requests: RecordedRequest[] = []

  /** Counts a token request that started. */
  opened(): void {
    this.#open += 1
    this.#mostOpen = Math.max(this.#mostOpen, this.#open)
  }

  /** Counts a token request that ended, with or without a response. */
  closed(): void {
    this.#open -= 1
  }

  /** Counts the outcome of a request. `tenant` is for token requests only. */
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

  /** Records a request. Keeps the last 200. */
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
    if (this.#requests.length > maxRecorded) this.#requests.shift()
  }

  /** Returns a copy, which later requests do not change. */
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

  /** Clears counts and recorded requests. Open requests remain counted as open. */
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
