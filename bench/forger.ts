import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

/**
 * A process that sends forged tokens to a broker at a steady rate and prints its {@link Outcome} as JSON. FORGER is the
 * path of a file with its {@link Orders}. It does not wait for responses, but has at most {@link mostOutstanding} open
 * requests per connection.
 */
export interface Orders {
  readonly port: number
  /** Sent in turn. */
  readonly requests: readonly string[]
  readonly perSecond: number
  readonly seconds: number
  /** Whether all requests come from one address, or from a new one every few requests. */
  readonly from: 'one address' | 'many addresses'
}

/** The result of a run. */
export interface Outcome {
  /** The number of responses by status. */
  readonly responses: Readonly<Record<string, number>>
  readonly seconds: number
}

/**
 * Responses come in order, so a delayed one delays those after it. Hence many connections with few requests on each.
 */
const connections = 128
const mostOutstanding = 10
/** Fewer than the broker accepts from an address before it slows it down. */
const requestsPerAddress = 80
const tickMs = 5

const { port, requests, perSecond, seconds, from }: Orders = JSON.parse(
  readFileSync(process.env['FORGER'] ?? '', 'utf8'),
) as Orders
const responses: Record<string, number> = {}
/** Starts at another address in each run, because the broker remembers addresses for a while. */
let addresses = Date.now() >> 4
let sent = 0

/** A loopback address other than 127.0.0.1. On Linux, all of 127.0.0.0/8 is loopback. */
function nextAddress(): string {
  if (from === 'one address') return '127.0.0.2'
  addresses++
  return `127.1.${(addresses >> 8) & 255}.${addresses & 255}`
}

class Connection {
  #socket: Socket
  #outstanding = 0
  #left = requestsPerAddress
  #rest = ''

  constructor() {
    this.#socket = this.#open()
  }

  /** Whether the request was sent. */
  send(request: string): boolean {
    if (this.#outstanding >= mostOutstanding || this.#left === 0) return false
    if (from !== 'one address') this.#left--
    this.#outstanding++
    return this.#socket.write(request) || true
  }

  close(): void {
    this.#socket.destroy()
  }

  #open(): Socket {
    this.#left = requestsPerAddress
    this.#outstanding = 0
    this.#rest = ''
    const socket = connect({ port, host: '127.0.0.1', localAddress: nextAddress(), noDelay: true })
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#read(text))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#socket === socket && !ended) this.#socket = this.#open()
    })
    return socket
  }

  #read(text: string): void {
    const all = this.#rest + text
    let read = 0
    for (const { 1: status = '', index, 0: line } of all.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
      responses[status] = (responses[status] ?? 0) + 1
      this.#outstanding--
      read = index + line.length
    }
    this.#rest = all.slice(Math.max(read, all.length - 'HTTP/1.1 401 '.length + 1))
    if (this.#left === 0 && this.#outstanding === 0) this.#socket.end()
  }
}

let ended = false
const all = Array.from({ length: connections }, () => new Connection())
const began = performance.now()
const timer = setInterval(() => {
  const passed = performance.now() - began
  const due = Math.floor((passed / 1000) * perSecond)
  for (let tried = 0; sent < due && tried < connections;) {
    const connection = all[sent % connections]
    const isSent = connection?.send(requests[sent % requests.length] ?? '') === true
    // What cannot be sent now is dropped, not sent later.
    sent++
    tried = isSent ? 0 : tried + 1
  }
  sent = due
  if (passed < seconds * 1000) return
  ended = true
  clearInterval(timer)
  for (const connection of all) connection.close()
  const outcome: Outcome = { responses, seconds: passed / 1000 }
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}, tickMs)
