import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { after } from 'node:test'
import tls from 'node:tls'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { isObject, type Json } from '../../emulator/jws.ts'
import { defaultSettings, type EmulatorOptions, sample } from '../../emulator/options.ts'
import type { Clock, LoopClocks, Wait } from '../../src/broker/lib/clock.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import type { SecondLevelEvents } from '../../src/broker/events.ts'
import type { SecondLevel } from '../../src/broker/tokens/second-level.ts'
import { readConfig } from '../../src/config/config.ts'
import { type Service, wire } from '../../src/service/wire.ts'
import { useIdentityOf, withIdentityOf } from './identity-endpoints.ts'

/** Microsoft Graph's scope, for which every tenant of the emulator issues tokens. */
export const graph = 'https://graph.microsoft.com/.default'

/** A response, after its body was read. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body as a JSON object; empty if it is not one. */
  readonly json: Json
}

/** What {@link send} sends. */
export interface SendOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string
  readonly ca?: string
  /** The client certificate with its chain, and its key, both PEM. */
  readonly cert?: string
  readonly key?: string
  /** Sent unchanged instead of the URL's path, from which the URL parser removes `.` and `..`. */
  readonly path?: string
}

/** Sends one request over its own connection. Rejects after 30 s of silence. */
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

/** Parses a JSON object; empty if the text is not one. */
export function parseObject(text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

/** A clock that only moves with `advance`. */
export class TestClock implements Clock {
  #elapsed = 0
  readonly #start = Math.floor(Date.now() / 1000) * 1000
  now = (): number => this.#start + this.#elapsed
  monotonic = (): number => 1_000_000 + this.#elapsed
  advance(seconds: number): void {
    this.#elapsed += seconds * 1000
  }
}

/** Waits for something that happens in the background: checks every 5 ms, and throws after `seconds`. */
export async function until(what: string, happened: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await happened());) {
    if (Date.now() > end) throw new Error(`did not happen: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Runs functions at its end. A test, or `{ after }` of node:test for the file. */
export interface Closing {
  readonly after: (close: () => void | Promise<void>) => void
}

/** The emulator and the clock of a test file. There is one per file. */
export interface World {
  readonly emulator: Emulator
  /** The clock of the emulator and of every broker. */
  readonly clock: TestClock
  /** Starts the production broker on loopback. First resets the emulator's faults, counts and settings. */
  readonly broker: (t: Closing, options?: BrokerOptions) => Promise<TestBroker>
}

/** How a test's broker differs from the usual one. */
export interface BrokerOptions {
  /** Replaces top-level fields of the policy of {@link policyOf}. */
  readonly policy?: Json
  readonly environment?: Readonly<Record<string, string>>
  /** Read at each check of the event loop, every 100 ms. By default they stand still, so that no load is shed. */
  readonly loop?: LoopClocks
  /** Measures how long callers and requests to Entra and the identity endpoint wait. Default: a timer. */
  readonly wait?: Wait
  /** A store that it shares with other brokers, or a function that makes one, of the events it reports and the replica's name. */
  readonly secondLevel?: SecondLevel | ((events: SecondLevelEvents, replica: string) => SecondLevel)
}

/** Starts the emulator and makes this process trust it. It is closed at the end of the file. */
export async function startWorld(options: EmulatorOptions = {}): Promise<World> {
  const clock = new TestClock()
  const emulator = await startEmulator({ now: clock.now, ...options })
  after(() => emulator.close())
  useIdentityOf(emulator)
  trust(emulator.caPem)
  return {
    emulator,
    clock,
    broker: (t, brokerOptions = {}) => {
      emulator.clearFaults()
      emulator.resetCounts()
      emulator.configure(defaultSettings)
      return withIdentityOf(emulator, () => startBroker(t, emulator, clock, brokerOptions))
    },
  }
}

/** Makes this process trust another certificate authority. */
export function trust(caPem: string): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), caPem])
}

/** The emulator's sample caller, as a rule names it. */
export const sampleCaller = { issuer: 'emulator', subject: 'sample-caller' } as const

/** The rule that permits observing the broker. {@link TestBroker.get} uses its caller. */
export const observers: Json = {
  name: 'dashboards',
  callers: [{ issuer: 'emulator', subject: 'dashboard' }],
  permissions: ['observe'],
}

/** A policy that grants the sample caller Graph in the three customer tenants, and includes {@link observers}. */
export const policyOf = (emulator: Emulator): Json => ({
  applications: { default: sample.application },
  tenants: { contoso: sample.contoso, fabrikam: sample.fabrikam, tailspin: sample.tailspin },
  issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
  rules: [
    { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] },
    observers,
  ],
})

/** How a request differs from the usual one. */
export interface TokenRequestOptions {
  /** The credential; default: a valid caller's token. */
  readonly token?: string
  /** Headers that replace the usual ones. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A running broker, with functions that send it requests and read its log. */
export interface TestBroker {
  readonly service: Service
  /** Without a trailing slash. */
  readonly url: string
  /** The URL of the operations endpoints. Without `MANAGEMENT_PORT` it is `url`. */
  readonly managementUrl: string
  /** `GET` of an operations endpoint. The default credential is that of a caller in {@link observers}. */
  readonly get: (path: string, options?: TokenRequestOptions) => Promise<Reply>
  /** `POST /tokens`; a string is sent unchanged. Default: Graph in contoso. */
  readonly requestToken: (body?: Json | string, options?: TokenRequestOptions) => Promise<Reply>
  /** Everything logged so far, unchanged. */
  readonly logText: () => string
  /** What was logged before the log was flushed last. */
  readonly flushedText: () => string
  /** Everything logged so far, one object per line. */
  readonly logLines: () => readonly Json[]
  /** The log lines of one audit event. */
  readonly events: (event: string) => readonly Json[]
}

const stillLoop: LoopClocks = { time: () => 0, cpu: () => 0 }

async function startBroker(
  t: Closing,
  emulator: Emulator,
  clock: Clock,
  { policy = {}, environment = {}, loop = stillLoop, wait, secondLevel }: BrokerOptions,
): Promise<TestBroker> {
  const written: string[] = []
  let flushed = 0
  const sink = { write: (line: string) => void written.push(line), flush: () => void (flushed = written.length) }
  const service = await wire(
    readConfig({ ...emulator.environment(), BROKER_POLICY_FILE: 'in-memory', ...environment }),
    parsePolicy(JSON.stringify({ ...policyOf(emulator), ...policy })),
    sink,
    { clock, random: () => 0.5, loop, ...(wait && { wait }) },
    (_config, _runtime, { events, replica }) =>
      Promise.resolve(typeof secondLevel === 'function' ? secondLevel(events, replica) : secondLevel),
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
    requestToken: async (body = { tenant: 'contoso', scope: graph }, { token, headers } = {}) => {
      const authorization = `Bearer ${token ?? (await emulator.mintCallerToken())}`
      return send(`${url}/tokens`, {
        method: 'POST',
        headers: headers ?? { authorization, 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      })
    },
    logText: () => written.join(''),
    flushedText: () => written.slice(0, flushed).join(''),
    logLines,
    events: event => logLines().filter(line => line['event'] === event),
  }
}
