import {
  createDefaultHttpClient,
  type HttpClient,
  type PipelineRequest,
  type PipelineResponse,
} from '@azure/core-rest-pipeline'

/** The last answer of an upstream server, whatever the SDK makes of it. */
export interface RecordedResponse {
  readonly status: number
  readonly body: string
  /** A header's value by its name in lower case. */
  readonly header: (name: string) => string | undefined
  /** `client-request-id`, by which the SDK named the request: Entra's correlation id. */
  readonly correlationId: string | undefined
}

/** Bytes of the largest answer that is read. Tokens with many groups have about 20 kB. */
const maxBodyBytes = 256 * 1024

/** One client for the process: it owns the connections that are kept alive. */
const network = createDefaultHttpClient()

/**
 * The HTTP client that the Azure SDK is given for one fetch. It adds what the SDK lacks: the fetch's deadline, a limit
 * on the answer's size, and a record of the last answer, of which the SDK's errors keep neither Retry-After nor the
 * trace id. Whatever a discovery document or a redirect says, it talks to one origin only, so that a client assertion
 * reaches nobody else.
 */
export class EntraHttpClient implements HttpClient {
  /** The last answer. `undefined` while none came: the network failed, or the deadline passed first. */
  response: RecordedResponse | undefined
  /** Why the last request got no answer, which MSAL does not pass on. */
  failure: unknown
  readonly #origin: string
  readonly #signal: AbortSignal

  /** @param url any URL of the only server to talk to */
  constructor(url: string, signal: AbortSignal) {
    this.#origin = new URL(url).origin
    this.#signal = signal
  }

  async sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
    try {
      return await this.#send(request)
    } catch (thrown) {
      this.failure = thrown
      throw thrown
    }
  }

  async #send(request: PipelineRequest): Promise<PipelineResponse> {
    const url = new URL(request.url)
    if (url.origin !== this.#origin) throw new Error('refused to talk to another origin')
    this.response = undefined
    request.abortSignal = this.#signal
    request.streamResponseStatusCodes = new Set([Number.POSITIVE_INFINITY])
    const response = await network.sendRequest(request)
    const body = await readLimited(response.readableStreamBody)
    this.response = {
      status: response.status,
      body: body ?? '',
      header: name => response.headers.get(name),
      correlationId: url.searchParams.get('client-request-id') ?? undefined,
    }
    if (body === undefined) throw new Error(`the answer is larger than ${maxBodyBytes} bytes`)
    if (response.status >= 300 && response.status < 400) throw new Error('refused to follow a redirect')
    return { status: response.status, headers: response.headers, request, bodyAsText: body }
  }
}

/** A body's text; `undefined` when it is too large. */
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
