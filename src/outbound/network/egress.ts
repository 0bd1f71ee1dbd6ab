import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent, type AgentOptions, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'

// The one rule for all requests to other servers: through the proxy of HTTPS_PROXY, unless NO_PROXY names the server. The
// identity endpoint and loopback are reached directly.

/** The proxy, as the configuration has it. */
export interface Proxy {
  /** Its http or https URL, with user name and password. */
  readonly url: string
  /** The servers that are reached directly; loopback must be among them. */
  readonly noProxy: string
}

/** The agents of Node.js for outgoing requests, by protocol. Plain http is never sent through a proxy. */
export interface Egress {
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

/** How connections are made. */
export interface EgressOptions {
  /** Whether a connection is used for several requests. */
  readonly keepAlive: boolean
  /**
   * Milliseconds for a connection through the proxy: to it, its response, and the TLS handshake with the server behind it.
   * No longer than any request may take.
   */
  readonly connectWithinMs: number
}

/** The agents for requests to other servers. Without a proxy, all are reached directly. */
export function createEgress(proxy: Proxy | undefined, { keepAlive, connectWithinMs }: EgressOptions): Egress {
  const direct = directEgress(keepAlive)
  if (proxy === undefined) return direct
  const proxyEnv = { HTTPS_PROXY: proxy.url, NO_PROXY: proxy.noProxy }
  return { ...direct, https: new TunnelAgent({ ...optionsOf(keepAlive), proxyEnv }, connectWithinMs) }
}

/** The agents for requests that are never sent through a proxy. */
export const directEgress = (keepAlive: boolean): Egress => ({
  http: new HttpAgent({ keepAlive }),
  https: new HttpsAgent(optionsOf(keepAlive)),
})

/** Without kept connections there are no TLS sessions to resume either: renewed certificates apply at once. */
const optionsOf = (keepAlive: boolean): AgentOptions => ({ keepAlive, ...(!keepAlive && { maxCachedSessions: 0 }) })

/** The agent for a URL. */
export const agentFor = ({ protocol }: URL, egress: Egress): HttpAgent =>
  protocol === 'https:' ? egress.https : egress.http

/**
 * Node's agent with its built-in proxy support, and a deadline. Node waits without end for a proxy that does not respond,
 * or behind which nothing responds, also if the request has been aborted meanwhile.
 */
class TunnelAgent extends HttpsAgent {
  readonly #withinMs: number

  constructor(options: AgentOptions, withinMs: number) {
    super(options)
    this.#withinMs = withinMs
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = super.createConnection(options, (error, stream) => {
      clearTimeout(timer)
      callback?.(error, stream)
    })
    const timer = setTimeout(() => {
      if (!socket) return
      callback?.(new Error(`the proxy made no connection within ${this.#withinMs} ms`), socket)
      socket.destroy()
    }, this.#withinMs)
    // A direct connection belongs to its request from the beginning, without a callback. So its request ends it.
    queueMicrotask(() => {
      if (Object.values(this.sockets).some(inUse => inUse?.some(each => each === socket))) clearTimeout(timer)
    })
    return socket
  }
}
