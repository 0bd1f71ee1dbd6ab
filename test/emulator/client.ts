import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { TestContext } from 'node:test'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { decodeJws, isObject, type Json } from '../../emulator/jws.ts'
import { type EmulatorOptions, sample } from '../../emulator/options.ts'

/** A response, after its body was read. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** Sends one request over its own connection. Rejects after `timeout` ms of silence, or if the body exceeds `limit` characters. */
export async function send(
  url: string,
  options: {
    method?: string
    headers?: Record<string, string>
    body?: string
    ca?: string
    timeout?: number
    limit?: number
  } = {},
): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const { method = 'GET', headers = {}, body, ca, timeout = 20_000, limit = 1_000_000 } = options
  const startRequest = url.startsWith('https:') ? httpsRequest : httpRequest
  const request = startRequest(url, { method, headers, ...(ca ? { ca } : {}), agent: false, timeout }, response => {
    let text = ''
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.length > limit) request.destroy(new Error('too long'))
    })
    response.on('error', reject)
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
  })
  request.on('timeout', () => request.destroy(new Error('timed out')))
  request.on('error', reject)
  request.end(body)
  return promise
}

/** Starts an emulator, which is closed when the test ends. */
export async function emulate(t: TestContext, options?: EmulatorOptions): Promise<Emulator> {
  const emulator = await startEmulator(options)
  t.after(() => emulator.close())
  return emulator
}

/** The form of a valid token request. In `changes`, undefined omits a field. */
export async function goodForm(
  emulator: Emulator,
  changes: Record<string, string | undefined> = {},
): Promise<URLSearchParams> {
  const fields = {
    grant_type: 'client_credentials',
    client_id: sample.application,
    scope: 'https://graph.microsoft.com/.default',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await emulator.mintIdentityToken(),
    ...changes,
  }
  return new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

/** Posts a form to a tenant's token endpoint. */
export function post(
  emulator: Emulator,
  tenant: string,
  form: URLSearchParams | string,
  options: { headers?: Record<string, string>; timeout?: number; method?: string } = {},
): Promise<Reply> {
  return send(`${emulator.entraUrl}/${tenant}/oauth2/v2.0/token`, {
    method: 'POST',
    ca: emulator.caPem,
    body: form.toString(),
    ...options,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
  })
}

/** Requests a token with a valid request. */
export async function requestToken(emulator: Emulator, timeout?: number): Promise<Reply> {
  return post(emulator, sample.contoso, await goodForm(emulator), timeout ? { timeout } : {})
}

/** Sends the identity endpoint a request like the platform's clients do. `changes` replace or remove parameters. */
export function requestIdentityToken(
  emulator: Emulator,
  changes: Record<string, string | undefined> = {},
  header = emulator.identityHeader,
): Promise<Reply> {
  const fields = {
    'api-version': '2019-08-01',
    resource: sample.audience,
    client_id: sample.identity.clientId,
    ...changes,
  }
  const query = new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
  return send(`${emulator.identityEndpoint}?${query.toString()}`, { headers: { 'x-identity-header': header } })
}

/** Parses a JSON object. Throws for anything else. */
export function object(text: string): Json {
  const value: unknown = JSON.parse(text)
  if (!isObject(value)) throw new Error('not a JSON object')
  return value
}

/** The claims of a token, which is not verified. Throws if it is not a JWT. */
export function claims(token: unknown): Json {
  const jws = decodeJws(String(token))
  if (!jws) throw new Error('not a JWT')
  return jws.payload
}
