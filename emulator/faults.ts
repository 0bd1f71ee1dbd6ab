import { integer, field, fields, oneOf, text, truth } from './validate.ts'

const points = ['token', 'identity', 'discovery', 'callers'] as const

/** Where a fault applies. `discovery` is Entra's metadata and keys; `callers` is those of the caller issuer. */
export type FaultPoint = (typeof points)[number]

const tamperings = [
  'wrong-tenant',
  'wrong-application',
  'wrong-audience',
  'no-expiry',
  'expired',
  'endless',
  'no-text',
  'line-break',
  'wrong-type',
  'delegated',
  'version-1',
] as const

/** A successful response in which one thing is wrong. */
export type Tampering = (typeof tamperings)[number]

/**
 * - `refused`: the whole server of that endpoint closes its port until the fault is cleared.
 * - `hung`: the request is accepted but never answered. `stalled-body`: half of the response arrives, then nothing.
 * - `reset`: TCP reset. `throttled`: 429. `server-error`: 5xx. `client-error`: 4xx, at `identity` only. `html`: a proxy's error page.
 * - `broken-json`: a truncated 200. `redirect`: 307 to the same machine under another host name.
 * - `huge-body`: a 200 that never ends. `aadsts`: an error with any AADSTS code.
 * - `endless`: the lifetime is 1e300 s. `no-text`: the token is a number. `line-break`: a CR LF is in the token.
 *   `wrong-type`: `token_type` is `MAC`. `delegated`: the token acts for a user. The last two are at
 *   `token` only. `version-1`: the token of the identity is one of v1.0, at `identity` only.
 * - The others: a successful response in which one thing is wrong.
 */
export type FaultKind =
  | Tampering
  | 'refused'
  | 'hung'
  | 'stalled-body'
  | 'reset'
  | 'throttled'
  | 'server-error'
  | 'client-error'
  | 'html'
  | 'broken-json'
  | 'redirect'
  | 'huge-body'
  | 'aadsts'

/** One fault. It stays until it is cleared or has been applied `times` times. */
export interface Fault {
  readonly kind: FaultKind
  readonly at: FaultPoint
  /** Applies to this tenant (GUID) only. Allowed at `token` and `discovery`. */
  readonly tenant?: string
  /** The number of requests that it applies to; default: all. Not allowed for `refused`, which receives no requests. */
  readonly times?: number
  /**
   * `server-error`: 500, 502, 503 (default) or 504; `client-error`: 400 (default), 401, 403, 404, 405 or 410; `html`: 200 or 502 (default); `aadsts`: default the status of its
   * code.
   */
  readonly status?: number
  /** Seconds; for `throttled` (default 5) and `server-error` (default none). `none` omits the header. */
  readonly retryAfter?: number | 'none'
  /** `throttled`: sends Retry-After as an HTTP date. */
  readonly httpDate?: boolean
  /** `server-error`: sends no body. */
  readonly empty?: boolean
  /** `aadsts`: the code. */
  readonly code?: number
  /** `aadsts`: the `error` field; default the error of its code. */
  readonly error?: string
}

interface Kind {
  readonly at: readonly FaultPoint[]
  readonly extra?: readonly (keyof Fault)[]
  readonly statuses?: readonly number[]
}

const anywhere: Kind = { at: points }
const tampered: Kind = { at: ['token', 'identity'] }
const kinds: Readonly<Record<FaultKind, Kind>> = {
  refused: anywhere,
  hung: anywhere,
  'stalled-body': anywhere,
  reset: anywhere,
  throttled: { at: points, extra: ['retryAfter', 'httpDate'] },
  'server-error': { at: points, extra: ['status', 'empty', 'retryAfter'], statuses: [500, 502, 503, 504] },
  'client-error': { at: ['identity'], extra: ['status'], statuses: [400, 401, 403, 404, 405, 410] },
  html: { at: points, extra: ['status'], statuses: [200, 502] },
  'broken-json': anywhere,
  redirect: anywhere,
  'huge-body': anywhere,
  aadsts: { at: ['token', 'discovery'], extra: ['code', 'status', 'error'] },
  'wrong-tenant': tampered,
  'wrong-application': tampered,
  'wrong-audience': tampered,
  'no-expiry': tampered,
  expired: tampered,
  endless: tampered,
  'no-text': tampered,
  'line-break': tampered,
  'wrong-type': { at: ['token'] },
  delegated: { at: ['token'] },
  'version-1': { at: ['identity'] },
}
const kindNames = Object.keys(kinds).filter((name): name is FaultKind => name in kinds)

/** Checks a fault of unknown shape. Throws a TypeError that says what is wrong. */
export function parseFault(value: unknown): Fault {
  const { kind: name } = fields(value, 'a fault')
  const kind = oneOf(kindNames)(name, 'kind')
  const { at, extra = [], statuses } = kinds[kind]
  const general = kind === 'refused' ? [] : ['tenant', 'times']
  const given = fields(value, `a ${kind} fault`, ['kind', 'at', ...general, ...extra])
  const point = oneOf(at)(given['at'], 'at')
  if (given['tenant'] !== undefined && point !== 'token' && point !== 'discovery')
    throw new TypeError(`tenant: not allowed at ${point}, which has no tenants`)
  if (kind === 'aadsts') integer(1, 99_999_999)(given['code'], 'code')
  return {
    kind,
    at: point,
    ...field(given, 'tenant', tenantId),
    ...field(given, 'times', integer(1, 1_000_000)),
    ...field(given, 'status', statuses ? oneOf(statuses) : integer(400, 599)),
    ...field(given, 'retryAfter', retryAfter),
    ...field(given, 'httpDate', truth),
    ...field(given, 'empty', truth),
    ...field(given, 'code', integer(1, 99_999_999)),
    ...field(given, 'error', text),
  }
}

function tenantId(value: unknown, at: string): string {
  return text(value, at).toLowerCase()
}

function retryAfter(value: unknown, at: string): number | 'none' {
  return value === 'none' ? value : integer(0, 86_400)(value, at)
}

/** Whether a fault of this kind sends a successful response in which one thing is wrong. */
export function isTampering(kind: FaultKind): kind is Tampering {
  return tamperings.some(tampering => tampering === kind)
}

/** The active faults, oldest first. The first one that matches a request applies to it. */
export class Faults {
  #active: { readonly fault: Fault; left: number }[] = []
  /** Called whenever a fault is added or all are cleared. */
  onChange: () => void = () => undefined

  /** Adds a fault. Throws a TypeError that says what is wrong if it is invalid. */
  add(fault: Fault): void {
    const parsed = parseFault(fault)
    this.#active.push({ fault: parsed, left: parsed.times ?? Number.POSITIVE_INFINITY })
    this.onChange()
  }

  clear(): void {
    this.#active = []
    this.onChange()
  }

  /** The active faults; `times` is the number of requests that are left. */
  list(): Fault[] {
    return this.#active.map(({ fault, left }) => (Number.isFinite(left) ? { ...fault, times: left } : fault))
  }

  /** Finds the fault that applies to a request and counts it. Removes the fault when none of its `times` are left. */
  take(at: FaultPoint, tenant?: string): Fault | undefined {
    const hit = this.#active.find(
      ({ fault }) => fault.at === at && fault.kind !== 'refused' && (!fault.tenant || fault.tenant === tenant),
    )
    if (!hit) return undefined
    hit.left -= 1
    if (hit.left <= 0) this.#active = this.#active.filter(other => other !== hit)
    return hit.fault
  }

  /** Whether the server of one of these points must refuse connections. */
  refuses(...at: readonly FaultPoint[]): boolean {
    return this.#active.some(({ fault }) => fault.kind === 'refused' && at.includes(fault.at))
  }
}
