import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { type Fault, type FaultKind, type FaultPoint, isTampering, type Tampering } from './faults.ts'
import { type Reply, type Listener, send } from './http.ts'
import type { World } from './world.ts'

/** A response and the name under which it is counted. */
export interface Outcome {
  readonly reply: Reply
  readonly outcome: string
}

/** An error that a fault causes. */
export interface Failure {
  readonly status?: number
  /** AADSTS code. */
  readonly code: number
  readonly error?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** One request to one endpoint, after its body was read. */
export interface Visit {
  readonly point: FaultPoint
  /** Lower case. */
  readonly tenant?: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly listener: Listener
  /** Creates the normal response, or one in which one thing is wrong. */
  readonly answer: (tampering?: Tampering) => Promise<Outcome>
  /** Creates an error in this endpoint's format. */
  readonly fail: (failure: Failure) => Reply
  /** The target of a `redirect` fault. */
  readonly redirectTarget: string
}

/** Answers a request, or applies the active fault to it. */
export async function serve(visit: Visit, world: World): Promise<void> {
  await world.holds.get(visit.point)
  const latency = world.settings.latency[visit.point] ?? 0
  if (latency > 0) await setTimeout(latency, undefined, { ref: false })
  const fault = world.faults.take(visit.point, visit.tenant)
  const tenant = visit.point === 'token' ? visit.tenant : undefined
  if (fault && !isTampering(fault.kind)) {
    world.traffic.count(visit.point, fault.kind, tenant)
    return apply[fault.kind](fault, visit, world)
  }
  const tampering = fault && isTampering(fault.kind) ? fault.kind : undefined
  const { reply, outcome } = await visit.answer(tampering)
  world.traffic.count(visit.point, reply.status === 200 ? (tampering ?? outcome) : outcome, tenant)
  send(visit.response, reply)
}

type Apply = (fault: Fault, visit: Visit, world: World) => void | Promise<void>

const apply: Readonly<Record<Exclude<FaultKind, Tampering>, Apply>> = {
  // The listener is closed. Only a request that was already being read gets here.
  refused: (_, visit) => visit.listener.reset(visit.request),
  hung: () => undefined,
  reset: (_, visit) => visit.listener.reset(visit.request),
  'stalled-body': stall,
  'broken-json': cutOff,
  'huge-body': sendForever,
  throttled: throttle,
  'server-error': failServer,
  'client-error': ({ status = 400 }, visit) => send(visit.response, visit.fail({ code: 90033, status })),
  html: sendPage,
  redirect,
  aadsts: (fault, visit) => {
    const { code = 90033, status, error } = fault
    send(visit.response, visit.fail({ code, ...(status ? { status } : {}), ...(error ? { error } : {}) }))
  },
}

async function stall(_: Fault, visit: Visit): Promise<void> {
  const { reply } = await visit.answer()
  visit.response.writeHead(reply.status, { ...reply.headers, 'content-length': Buffer.byteLength(reply.body) })
  visit.response.write(reply.body.slice(0, reply.body.length / 2))
}

async function cutOff(_: Fault, visit: Visit): Promise<void> {
  const { reply } = await visit.answer()
  send(visit.response, { ...reply, status: 200, body: reply.body.slice(0, reply.body.length / 2) })
}

function sendForever(_: Fault, visit: Visit): void {
  const { response } = visit
  const chunk = 'a'.repeat(65_536)
  // Yields to the event loop between chunks, so that a fast reader does not starve the other requests.
  const more = (): void => {
    if (!response.destroyed) response.write(chunk, () => setImmediate(more))
  }
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' })
  response.write('{"access_token":"')
  more()
}

function throttle(fault: Fault, visit: Visit, world: World): void {
  const wait = fault.retryAfter ?? 5
  send(visit.response, visit.fail({ code: 90055, status: 429, headers: retryAfter(wait, fault.httpDate, world.now()) }))
}

function failServer(fault: Fault, visit: Visit, world: World): void {
  const { status = 503, empty = false, retryAfter: wait = 'none' } = fault
  const reply = visit.fail({ code: 90033, status, headers: retryAfter(wait, false, world.now()) })
  send(visit.response, empty ? { ...reply, body: '' } : reply)
}

function retryAfter(wait: number | 'none', httpDate: boolean | undefined, now: number): Record<string, string> {
  if (wait === 'none') return {}
  return { 'retry-after': httpDate ? new Date(now + wait * 1000).toUTCString() : String(wait) }
}

/** A recognisable text. Tests search for it where upstream text must not appear. */
export const junk = '<html><body><h1>junk-from-a-proxy</h1><script>alert("junk")</script></body></html>'

function sendPage(fault: Fault, visit: Visit): void {
  send(visit.response, { status: fault.status ?? 502, headers: { 'content-type': 'text/html' }, body: junk })
}

function redirect(_: Fault, visit: Visit): void {
  send(visit.response, { status: 307, headers: { location: visit.redirectTarget }, body: '' })
}
