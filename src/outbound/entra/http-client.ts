import {
  createDefaultHttpClient,
  type HttpClient,
  type PipelineRequest,
  type PipelineResponse,
} from '@azure/core-rest-pipeline'
import { noSpans, type Spans } from '../../broker/lib/spans.ts'
import { agentFor, type Egress } from '../network/egress.ts'

// Both hops, broker → identity endpoint and broker → Entra: the HTTP client below the Azure SDK, with a limit of size,
// a deadline and one allowed origin.

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

/** One client for the process. The connections are those of each request's agent. */
const network = createDefaultHttpClient()

/**
 * The HTTP client that the Azure SDK uses for one fetch. It adds the fetch's deadline, a limit on the size of the
 * response, and a record of the last response, because the SDK's errors have neither Retry-After nor the trace id. It
 * sends requests to one origin only and follows no redirect, so that no other server receives a client assertion.
 */
export class EntraHttpClient implements HttpClient {
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
   * @param egress the connections; the SDK's own choice of a proxy is replaced
   * @param signal aborts at the fetch's deadline
   * @param spans each request is one; none has the query, or a header
   */
  constructor(url: string, egress: Egress, signal: AbortSignal, spans = noSpans) {
    this.#origin = new URL(url).origin
    this.#egress = egress
    this.#signal = signal
    this.#spans = spans
  }

  async sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
    try {
      return await this.#send(request)
    } catch (thrown) {
      this.failure = thrown
      throw thrown
    }
  }

  #send(request: PipelineRequest): Promise<PipelineResponse> {
    const url = new URL(request.url)
    if (url.origin !== this.#origin) throw new Error(`refused to send a request to another origin than ${this.#origin}`)
    this.response = undefined
    const { method } = request
    const call = { name: method, attributes: attributesOf(method, url), status: () => this.response?.status }
    return this.#spans.call(call, () => this.#exchange(request, url))
  }

  async #exchange(request: PipelineRequest, url: URL): Promise<PipelineResponse> {
    request.abortSignal = this.#signal
    request.agent = agentFor(url, this.#egress)
    request.streamResponseStatusCodes = new Set([Number.POSITIVE_INFINITY])
    const response = await network.sendRequest(request)
    const body = await readLimited(response.readableStreamBody)
    this.response = {
      status: response.status,
      body: body ?? '',
      header: name => response.headers.get(name),
      correlationId: url.searchParams.get('client-request-id') ?? undefined,
    }
    if (body === undefined) throw new Error(`the response is larger than ${maxBodyBytes} bytes`)
    if (response.status >= 300 && response.status < 400) throw new Error('refused to follow a redirect')
    return { status: response.status, headers: response.headers, request, bodyAsText: body }
  }
}

/** By OpenTelemetry's semantic conventions for HTTP, without the query. */
const attributesOf = (method: string, { protocol, origin, hostname, port, pathname }: URL) => ({
  'http.request.method': method,
  'server.address': hostname,
  'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
  'url.full': `${origin}${pathname}`,
})

/** The text of a body; `undefined` if it is too large. */
async function readLimited(stream: NodeJS.ReadableStream | undefined): Promise<string | undefined> {
  if (stream === undefined) return ''
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > maxBodyBytes) return undefined
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
