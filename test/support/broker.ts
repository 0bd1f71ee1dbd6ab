import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { after } from 'node:test'
import tls from 'node:tls'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { isObject, type Json } from '../../emulator/jws.ts'
import { defaultSettings, type EmulatorOptions, sample } from '../../emulator/options.ts'
import type { Clock } from '../../src/broker/lib/clock.ts'
import { parsePolicy } from '../../src/broker/policy/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import { lateMs, sampleMs } from '../../src/http/server/load-shedding.ts'
import { type Service, wire } from '../../src/service/wire.ts'

/** Microsoft Graph's scope, which every tenant of the emulator knows. */
export const graph = 'https://graph.microsoft.com/.default'

/** What came back, the body read to its end. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body as a JSON object; empty when it is none. */
  readonly json: Json
}

export interface SendOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
  readonly ca?: string
  /** The client certificate with its chain, and its key: PEM. */
  readonly cert?: string
  readonly key?: string
  /** Sent as it is, in place of the URL's path, which is made shorter where it has dots. */
  readonly path?: string
}

/** One request over a connection of its own; rejects after 30 s of silence. */
export function send(
  url: string,
  { method = 'GET', headers = {}, body, ca, cert, key, path }: SendOptions = {},
): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const start = url.startsWith('https:') ? httpsRequest : httpRequest
  const options = {
    method,
    headers,
    agent: false,
    timeout: 30_000,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert, key }),
    ...(path !== undefined && { path }),
  }
  const request = start(url, options, response => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parseObject(text) })
    })
  })
  request.on('timeout', () => request.destroy(new Error('timed out')))
  request.on('error', reject)
  request.end(body)
  return promise
}

/** A JSON object's members; none where the text is no JSON object. */
export function parseObject(text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

/** Time that stands still until it is moved. */
export class TestClock implements Clock {
  #elapsed = 0
  readonly #start = Math.floor(Date.now() / 1000) * 1000
  now = (): number => this.#start + this.#elapsed
  monotonic = (): number => 1_000_000 + this.#elapsed
  advance(seconds: number): void {
    this.#elapsed += seconds * 1000
  }
}

/** An event loop that is late by more than is allowed while `late` is true: see {@link BrokerOptions.loopTime}. */
export function eventLoop(late: boolean): { late: boolean; readonly time: () => number } {
  let now = 0
  const loop = { late, time: () => (now += sampleMs + (loop.late ? lateMs + 1 : 0)) }
  return loop
}

/** Waits for what happens in the background: looks again every few milliseconds, for some seconds at most. */
export async function until(what: string, happened: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await happened());) {
    if (Date.now() > end) throw new Error(`did not happen: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** What closes things at its end: a test, or with `{ after }` of node:test the file. */
export interface Closing {
  readonly after: (close: () => void | Promise<void>) => void
}

/** The stand-ins for everything outside, one per test file: MSAL knows one identity endpoint per process. */
export interface World {
  readonly emulator: Emulator
  /** The emulator's and every broker's. */
  readonly clock: TestClock
  /** A broker as it ships, listening on loopback; the emulator forgets faults, counts and settings first. */
  readonly broker: (t: Closing, options?: BrokerOptions) => Promise<TestBroker>
}

export interface BrokerOptions {
  /** Replaces whole members of the policy that {@link policyOf} makes. */
  readonly policy?: Json
  readonly environment?: Readonly<Record<string, string>>
  /** What time the event loop has when it is looked at, every {@link sampleMs}: it stands still, so that no load is shed. */
  readonly loopTime?: () => number
}

/** Starts the emulator and makes this process trust it; the end of the file closes it. */
export async function startWorld(options: EmulatorOptions = {}): Promise<World> {
  const clock = new TestClock()
  const emulator = await startEmulator({ now: clock.now, ...options })
  after(() => emulator.close())
  Object.assign(process.env, emulator.environment())
  trust(emulator.caPem)
  return {
    emulator,
    clock,
    broker: (t, brokerOptions = {}) => {
      emulator.clearFaults()
      emulator.resetCounts()
      emulator.configure(defaultSettings)
      return startBroker(t, emulator, clock, brokerOptions)
    },
  }
}

/** Makes this process trust one more authority. */
export function trust(caPem: string): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), caPem])
}

/** The subject of the emulator's callers' tokens, as a rule names it. */
export const sampleCaller = { issuer: 'emulator', subject: 'sample-caller' } as const

/** The rule of whoever may look at the broker: {@link TestBroker.get} asks in its caller's name. */
export const observers: Json = {
  name: 'dashboards',
  callers: [{ issuer: 'emulator', subject: 'dashboard' }],
  permissions: ['observe'],
}

/** A policy that grants the emulator's sample caller Graph in its three customer tenants, and lets {@link observers} in. */
export const policyOf = (emulator: Emulator): Json => ({
  applications: { default: sample.application },
  tenants: { contoso: sample.contoso, fabrikam: sample.fabrikam, tailspin: sample.tailspin },
  issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
  rules: [
    { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] },
    observers,
  ],
})

export interface AskOptions {
  /** The credential; default: a good caller's token. */
  readonly token?: string
  /** Replace the usual ones. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface TestBroker {
  readonly service: Service
  /** Without a trailing slash. */
  readonly url: string
  /** The listener of the operations endpoints: the main one without `MANAGEMENT_PORT`. */
  readonly managementUrl: string
  /** `GET` of an operations endpoint. The credential, unless there is one: a caller's of {@link observers}. */
  readonly get: (path: string, options?: AskOptions) => Promise<Reply>
  /** `POST /tokens`; a text is sent as it is. Default: Graph at contoso. */
  readonly ask: (body?: Json | string, options?: AskOptions) => Promise<Reply>
  /** Everything logged so far, as it was written. */
  readonly logText: () => string
  /** The same, line by line. */
  readonly logLines: () => readonly Json[]
  /** The lines of one audit event. */
  readonly events: (event: string) => readonly Json[]
}

async function startBroker(
  t: Closing,
  emulator: Emulator,
  clock: Clock,
  { policy = {}, environment = {}, loopTime = () => 0 }: BrokerOptions,
): Promise<TestBroker> {
  const written: string[] = []
  const sink = { write: (line: string) => void written.push(line), flush: () => undefined }
  const service = await wire(
    readConfig({ ...emulator.environment(), BROKER_POLICY_FILE: 'in-memory', ...environment }),
    parsePolicy(JSON.stringify({ ...policyOf(emulator), ...policy })),
    sink,
    { clock, random: () => 0.5, loopTime },
  )
  t.after(() => service.close())
  const anywhere = { host: '127.0.0.1', port: 0 }
  const url = await service.app.listen({ ...anywhere, port: Number(environment['PORT'] ?? 0) })
  const managementUrl = (await service.management?.listen(anywhere)) ?? url
  const logLines = () => written.map(line => JSON.parse(line) as Json)
  return {
    service,
    url,
    managementUrl,
    get: async (path, { token, headers } = {}) => {
      const authorization = `Bearer ${token ?? (await emulator.mintCallerToken({ sub: 'dashboard' }))}`
      return send(`${managementUrl}${path}`, { headers: headers ?? { authorization } })
    },
    ask: async (body = { tenant: 'contoso', scope: graph }, { token, headers } = {}) => {
      const authorization = `Bearer ${token ?? (await emulator.mintCallerToken())}`
      return send(`${url}/tokens`, {
        method: 'POST',
        headers: headers ?? { authorization, 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
    },
    logText: () => written.join(''),
    logLines,
    events: event => logLines().filter(line => line['event'] === event),
  }
}
