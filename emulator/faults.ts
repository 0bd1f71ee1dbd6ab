import { integer, field, fields, oneOf, text, truth } from './validate.ts'

const points = ['token', 'identity', 'discovery', 'callers'] as const

/** Where a fault strikes: `discovery` is Entra's metadata and keys, `callers` the caller issuer's. */
export type FaultPoint = (typeof points)[number]

const tamperings = ['wrong-tenant', 'wrong-application', 'wrong-audience', 'no-expiry', 'expired'] as const

/** A good answer with one thing wrong in it. */
export type Tampering = (typeof tamperings)[number]

/**
 * - `refused`: the whole server of that endpoint closes its port until the fault is cleared.
 * - `hung`: the request is taken, never answered. `stalled-body`: half an answer, then nothing. `reset`: TCP reset.
 * - `throttled`: 429. `server-error`: 5xx. `html`: a proxy's error page. `broken-json`: a cut-off 200.
 * - `redirect`: 307 to the same machine under another host name. `huge-body`: a 200 without end.
 * - `aadsts`: any code. The others: a good answer with one thing wrong in it.
 */
export type FaultKind =
  | Tampering
  | 'refused'
  | 'hung'
  | 'stalled-body'
  | 'reset'
  | 'throttled'
  | 'server-error'
  | 'html'
  | 'broken-json'
  | 'redirect'
  | 'huge-body'
  | 'aadsts'

/** One thing that goes wrong, until it is cleared or has happened `times` times. */
export interface Fault {
  readonly kind: FaultKind
  readonly at: FaultPoint
  /** Only this tenant (GUID); at `token` and `discovery` only. */
  readonly tenant?: string
  /** Requests it strikes before it heals; default: all. Not for `refused`, which sees no requests. */
  readonly times?: number
  /** `server-error`: 500, 502, 503 (default) or 504; `html`: 200 or 502 (default); `aadsts`: default the code's own. */
  readonly status?: number
  /** Seconds, `throttled` (default 5) and `server-error` (default none); `none` leaves the header out. */
  readonly retryAfter?: number | 'none'
  /** `throttled`: Retry-After as an HTTP date. */
  readonly httpDate?: boolean
  /** `server-error`: without a body. */
  readonly empty?: boolean
  /** `aadsts`: the code. */
  readonly code?: number
  /** `aadsts`: the `error` field; default the code's own. */
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
}
const kindNames = Object.keys(kinds).filter((name): name is FaultKind => name in kinds)

/** Checks a fault from outside; throws a TypeError that names what is wrong. */
export function parseFault(value: unknown): Fault {
  const { kind: name } = fields(value, 'a fault')
  const kind = oneOf(kindNames)(name, 'kind')
  const { at, extra = [], statuses } = kinds[kind]
  const general = kind === 'refused' ? [] : ['tenant', 'times']
  const given = fields(value, `a ${kind} fault`, ['kind', 'at', ...general, ...extra])
  const point = oneOf(at)(given['at'], 'at')
  if (given['tenant'] !== undefined && point !== 'token' && point !== 'discovery')
    throw new TypeError(`tenant: the ${point} endpoint knows no tenants`)
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

/** Whether a kind leaves the answer whole but for one thing. */
export function isTampering(kind: FaultKind): kind is Tampering {
  return tamperings.some(tampering => tampering === kind)
}

/** The faults in force, oldest first; the first that fits a request strikes. */
export class Faults {
  #inForce: { readonly fault: Fault; left: number }[] = []
  /** Called whenever a fault is added or all are cleared. */
  onChange: () => void = () => undefined

  /** The fault is checked first: a TypeError says what is wrong with it. */
  add(fault: Fault): void {
    const parsed = parseFault(fault)
    this.#inForce.push({ fault: parsed, left: parsed.times ?? Number.POSITIVE_INFINITY })
    this.onChange()
  }

  clear(): void {
    this.#inForce = []
    this.onChange()
  }

  /** With `times` counted down to what is left. */
  list(): Fault[] {
    return this.#inForce.map(({ fault, left }) => (Number.isFinite(left) ? { ...fault, times: left } : fault))
  }

  /** The fault that strikes this request; using it up when its time has come. */
  take(at: FaultPoint, tenant?: string): Fault | undefined {
    const hit = this.#inForce.find(
      ({ fault }) => fault.at === at && fault.kind !== 'refused' && (!fault.tenant || fault.tenant === tenant),
    )
    if (!hit) return undefined
    hit.left -= 1
    if (hit.left <= 0) this.#inForce = this.#inForce.filter(other => other !== hit)
    return hit.fault
  }

  /** Whether the server of one of these points is to refuse connections. */
  refuses(...at: readonly FaultPoint[]): boolean {
    return this.#inForce.some(({ fault }) => fault.kind === 'refused' && at.includes(fault.at))
  }
}
