import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** A response as plain data, before it is sent. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A JSON response with `cache-control: no-store`. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(value),
  }
}

/** Sends a response. Does nothing if the client has disconnected. */
export function send(response: ServerResponse, reply: Reply): void {
  if (response.destroyed) return
  response.writeHead(reply.status, { ...reply.headers, 'content-length': Buffer.byteLength(reply.body) })
  response.end(reply.body)
}

/** The largest body that an endpoint reads, in bytes: 64 KiB. */
export const bodyLimit = 65_536

/** Reads the whole body as text. Returns undefined if it exceeds the limit; the rest is read and discarded. */
export async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size <= bodyLimit) chunks.push(bytes)
  }
  return size > bodyLimit ? undefined : Buffer.concat(chunks).toString()
}

/** A server on 127.0.0.1 that can refuse connections for a while. Closing it does not wait for connections. */
export class Listener {
  readonly #server: Server | SecureServer
  /**
   * TCP sockets by remote port. A TLS request gives access to its TLS socket only, but a reset needs the TCP socket.
   */
  readonly #sockets = new Map<number, Socket>()
  #port: number
  #open = true
  #reopening = false

  /** Port 0 means any free port. */
  constructor(server: Server | SecureServer, port: number) {
    this.#server = server
    this.#port = port
    server.on('connection', (socket: Socket) => {
      const { remotePort = 0 } = socket
      this.#sockets.set(remotePort, socket)
      socket.once('close', () => this.#sockets.delete(remotePort))
    })
  }

  get port(): number {
    return this.#port
  }

  /** Starts to listen. Rejects if the port is in use. */
  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(this.#port, '127.0.0.1', resolve)
    await promise
    this.#server.off('error', reject)
    this.#port = portOf(this.#server.address())
  }

  /** Closes the listening socket and all connections, so that the kernel refuses new ones. */
  refuse(): void {
    this.#open = false
    if (this.#server.listening) this.#server.close()
    for (const socket of this.#sockets.values()) socket.destroy()
  }

  /** Listens again, on the same port. */
  accept(): void {
    if (this.#open) return
    this.#open = true
    if (this.#server.listening || this.#reopening) return
    this.#reopening = true
    // Node listens one tick later. refuse() may have been called again by then.
    this.#server.listen(this.#port, '127.0.0.1', () => {
      this.#reopening = false
      if (!this.#open) this.refuse()
    })
  }

  /** Cuts a request's connection with a TCP reset. */
  reset(request: IncomingMessage): void {
    this.#sockets.get(request.socket.remotePort ?? 0)?.resetAndDestroy()
  }

  /** Never waits for a peer: connections that hang are destroyed. */
  async close(): Promise<void> {
    const wasListening = this.#server.listening
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.once('close', resolve)
    this.refuse()
    if (wasListening) await promise
  }
}

function portOf(address: AddressInfo | string | null): number {
  if (typeof address === 'object' && address) return address.port
  throw new Error('the server listens on no port')
}
