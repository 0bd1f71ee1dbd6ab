import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { type Fault, type FaultKind, type FaultPoint, isTampering, type Tampering } from './faults.ts'
import { type Answer, type Listener, send } from './http.ts'
import type { World } from './world.ts'

/** An answer and the name it is counted under. */
export interface Outcome {
  readonly answer: Answer
  readonly outcome: string
}

/** What a forced error needs to know. */
export interface Failure {
  readonly status?: number
  /** AADSTS code. */
  readonly code: number
  readonly error?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** One request at one endpoint, its body read. */
export interface Visit {
  readonly point: FaultPoint
  /** Lower case. */
  readonly tenant?: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly listener: Listener
  /** The honest answer, or one tampered with. */
  readonly answer: (tampering?: Tampering) => Promise<Outcome>
  /** An error in this endpoint's own shape. */
  readonly fail: (failure: Failure) => Answer
  /** Where a `redirect` fault points to. */
  readonly redirectTarget: string
}

/** Answers a request, or does to it what the fault in force says. */
export async function serve(visit: Visit, world: World): Promise<void> {
  await world.holds.get(visit.point)
  const latency = world.settings.latency[visit.point] ?? 0
  if (latency > 0) await setTimeout(latency, undefined, { ref: false })
  const fault = world.faults.take(visit.point, visit.tenant)
  const tenant = visit.point === 'token' ? visit.tenant : undefined
  if (fault && !isTampering(fault.kind)) {
    world.traffic.count(visit.point, fault.kind, tenant)
    return strikes[fault.kind](fault, visit, world)
  }
  const tampering = fault && isTampering(fault.kind) ? fault.kind : undefined
  const { answer, outcome } = await visit.answer(tampering)
  world.traffic.count(visit.point, answer.status === 200 ? (tampering ?? outcome) : outcome, tenant)
  send(visit.response, answer)
}

type Strike = (fault: Fault, visit: Visit, world: World) => void | Promise<void>

const strikes: Readonly<Record<Exclude<FaultKind, Tampering>, Strike>> = {
  // The listener is closed: only a request that was already being read comes here.
  refused: (_, visit) => visit.listener.reset(visit.request),
  hung: () => undefined,
  reset: (_, visit) => visit.listener.reset(visit.request),
  'stalled-body': stall,
  'broken-json': cutOff,
  'huge-body': pour,
  throttled: throttle,
  'server-error': failServer,
  html: sendPage,
  redirect,
  aadsts: (fault, visit) => {
    const { code = 90033, status, error } = fault
    send(visit.response, visit.fail({ code, ...(status ? { status } : {}), ...(error ? { error } : {}) }))
  },
}

async function stall(_: Fault, visit: Visit): Promise<void> {
  const { answer } = await visit.answer()
  visit.response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(answer.body) })
  visit.response.write(answer.body.slice(0, answer.body.length / 2))
}

async function cutOff(_: Fault, visit: Visit): Promise<void> {
  const { answer } = await visit.answer()
  send(visit.response, { ...answer, status: 200, body: answer.body.slice(0, answer.body.length / 2) })
}

function pour(_: Fault, visit: Visit): void {
  const { response } = visit
  const chunk = 'a'.repeat(65_536)
  // A turn of the event loop between chunks: a fast reader must not starve the other requests.
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
  const answer = visit.fail({ code: 90033, status, headers: retryAfter(wait, false, world.now()) })
  send(visit.response, empty ? { ...answer, body: '' } : answer)
}

function retryAfter(wait: number | 'none', httpDate: boolean | undefined, now: number): Record<string, string> {
  if (wait === 'none') return {}
  return { 'retry-after': httpDate ? new Date(now + wait * 1000).toUTCString() : String(wait) }
}

/** Recognisable, so that a test can look for it wherever upstream text must not appear. */
export const junk = '<html><body><h1>junk-from-a-proxy</h1><script>alert("junk")</script></body></html>'

function sendPage(fault: Fault, visit: Visit): void {
  send(visit.response, { status: fault.status ?? 502, headers: { 'content-type': 'text/html' }, body: junk })
}

function redirect(_: Fault, visit: Visit): void {
  send(visit.response, { status: 307, headers: { location: visit.redirectTarget }, body: '' })
}
