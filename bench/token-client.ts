import { Agent, request } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import { isObject, type Json } from '../emulator/jws.ts'

/** A tenant and a scope for which a token is requested. */
export interface Key {
  /** A GUID. */
  readonly tenant: string
  readonly scope: string
}

/** What one request observed. */
export interface Observed {
  readonly status: number
  /** The header `Retry-After`. */
  readonly retryAfter: string | undefined
  /** `Cache-Status` without its numbers and the name of the broker (`hit`, `fwd=miss`, `fwd=miss, shared`), or the status. */
  readonly how: string
  /** The body as a JSON object; empty if it is another value. */
  readonly body: Json
  /** Milliseconds since 1970. */
  readonly sentAt: number
  readonly receivedAt: number
  /** Milliseconds from sending to the end of the response, by the monotonic clock. */
  readonly ms: number
}

/** Sends requests for tokens to brokers, over connections that stay open. */
export interface TokenClient {
  /**
   * Sends one request to `POST /tokens`. Resolves with any response whose body is JSON; rejects otherwise.
   *
   * @param url the broker's origin
   * @param authorization the caller's `Authorization` header
   */
  readonly request: (url: string, authorization: string, key: Key) => Promise<Observed>
  readonly close: () => void
}

/** For the benchmark of several replicas, and for the soak. */
export function createTokenClient(): TokenClient {
  const agent = new Agent({ keepAlive: true })
  return {
    close: () => agent.destroy(),
    request(url, authorization, key) {
      const { promise, resolve, reject } = Promise.withResolvers<Observed>()
      const headers = { authorization, 'content-type': 'application/json' }
      const [sentAt, began] = [Date.now(), performance.now()]
      const sent = request(`${url}/tokens`, { method: 'POST', agent, headers }, response => {
        readText(response)
          .then(text => {
            const body: unknown = JSON.parse(text)
            const { statusCode: status = 0, headers: received } = response
            return {
              status,
              retryAfter: received['retry-after'],
              how: shorten(String(received['cache-status'] ?? status)),
              body: isObject(body) ? body : {},
              sentAt,
              receivedAt: Date.now(),
              ms: performance.now() - began,
            }
          })
          .then(resolve, reject)
      })
      sent.on('error', reject)
      sent.end(JSON.stringify(key))
      return promise
    },
  }
}

const shorten = (cacheStatus: string): string =>
  cacheStatus
    .replaceAll(/; ttl=\d+/g, '')
    .replace('token-broker-shared; hit', 'shared')
    .replace('token-broker; ', '')
