import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { agentFor, type Egress } from './egress.ts'

/** A request to another server. Its signal is its deadline. */
export type OutgoingRequest = RequestOptions & { readonly signal: AbortSignal }

/**
 * Sends a request over http or https and resolves with the response, whose body is still to be read. Follows no redirect.
 * Rejects with the network's error, or at once when the signal aborts.
 */
export async function sendRequest(
  url: URL,
  egress: Egress,
  options: OutgoingRequest,
  body?: string,
): Promise<IncomingMessage> {
  const { signal } = options
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest
  const request = start(url, { ...options, agent: agentFor(url, egress) }, resolve)
  request.on('error', reject)
  // While a connection through a proxy is made, Node does not report that the request was aborted.
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  request.end(body)
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
