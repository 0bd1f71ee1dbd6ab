import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { version, type INetworkModule, type NetworkRequestOptions, type NetworkResponse } from '@azure/msal-node'
import { httpCall, noSpans, type Spans } from '../../broker/lib/spans.ts'
import type { Egress } from '../network/egress.ts'
import { sendRequest } from '../network/request.ts'

// Both hops, broker → identity endpoint and broker → Entra: the HTTP client below MSAL, with a limit of size, a deadline
// and one allowed origin.

/** The last response of an upstream server, independent of how the SDK interprets it. */
export interface RecordedResponse {
  readonly status: number
  readonly body: string
  /** The value of a header, by its name in lower case. */
  readonly header: (name: string) => string | undefined
  /** The `client-request-id` that the SDK sent: Entra's correlation id. */
  readonly correlationId: string | undefined
}

/** Bytes of the largest response that is read. Tokens with many groups have about 20 kB. */
const maxBodyBytes = 256 * 1024

/** MSAL names itself in the fields of its requests; sign-in logs show this header, too. */
const userAgent = `msal-node/${version} Node/${process.version}`

type Method = 'GET' | 'POST'

/**
 * The HTTP client that MSAL uses for one fetch. It adds the fetch's deadline, a limit on the size of the response, and a
 * record of the last response, because MSAL's errors have neither Retry-After nor the trace id. It sends requests to one
 * origin only and follows no redirect, so that no other server receives a client assertion.
 */
export class EntraHttpClient implements INetworkModule {
  /** The last response. `undefined` if none came: the network failed, or the deadline passed first. */
  response: RecordedResponse | undefined
  /** The error of the last request that failed. MSAL does not pass it on. */
  failure: unknown
  readonly #origin: string
  readonly #egress: Egress
  readonly #signal: AbortSignal
  readonly #spans: Spans

  /**
   * @param url any URL of the only allowed origin
   * @param egress the connections
   * @param signal aborts at the fetch's deadline
   * @param spans each request is one; none has the query, or a header
   */
  constructor(url: string, egress: Egress, signal: AbortSignal, spans = noSpans) {
    this.#origin = new URL(url).origin
    this.#egress = egress
    this.#signal = signal
    this.#spans = spans
  }

  sendGetRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send('GET', url, options)
  }

  sendPostRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send('POST', url, options)
  }

  async #send<T>(method: Method, text: string, options: NetworkRequestOptions = {}): Promise<NetworkResponse<T>> {
    try {
      const url = new URL(text)
      if (url.origin !== this.#origin)
        throw new Error(`refused to send a request to another origin than ${this.#origin}`)
      this.response = undefined
      const call = httpCall(method, url, () => this.response?.status)
      const { status, body } = await this.#spans.call(call, () => this.#exchange(method, url, options))
      const parsed: T = JSON.parse(body)
      // MSAL uses the headers for nothing that the broker needs.
      return { status, headers: {}, body: parsed }
    } catch (thrown) {
      this.failure = thrown
      throw thrown
    }
  }

  async #exchange(method: Method, url: URL, { headers, body }: NetworkRequestOptions): Promise<RecordedResponse> {
    const request = { method, headers: { ...headers, 'user-agent': userAgent }, signal: this.#signal }
    const response = await sendRequest(url, this.#egress, request, body)
    const { statusCode: status = 0, headers: received } = response
    const text = await readLimited(response)
    const recorded = {
      status,
      body: text ?? '',
      header: (name: string) => headerOf(received, name),
      correlationId: url.searchParams.get('client-request-id') ?? undefined,
    }
    this.response = recorded
    if (text === undefined) throw new Error(`the response is larger than ${maxBodyBytes} bytes`)
    if (status >= 300 && status < 400) throw new Error('refused to follow a redirect')
    return recorded
  }
}

const headerOf = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** The text of a body; `undefined` if it is too large. */
async function readLimited(response: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    // Leaving the loop destroys the response.
    if (size > maxBodyBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
