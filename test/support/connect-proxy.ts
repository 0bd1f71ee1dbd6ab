import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Closing } from './broker.ts'

/** How a proxy treats CONNECT: `silent` never responds, `dead` responds but connects to nothing. */
type Behaviour = 'tunnel' | 'refuse' | 'silent' | 'dead'

/** A forward proxy on loopback, which connects every name to one server on loopback. */
export interface ConnectProxy {
  /** Its URL, with user name and password if there are any. */
  readonly url: string
  /** Each CONNECT: the target, and the credential in `Proxy-Authorization`. */
  readonly seen: readonly { readonly target: string; readonly credential: string | undefined }[]
  /** The number of open connections to it. */
  readonly open: () => number
  behaviour: Behaviour
}

/**
 * Starts a proxy.
 *
 * @param port the server behind it
 * @param userInfo `user:password@`, as in a URL
 */
export async function startConnectProxy(t: Closing, port: number, userInfo = ''): Promise<ConnectProxy> {
  const seen: { target: string; credential: string | undefined }[] = []
  const sockets = new Set<Socket>()
  const server = createServer((_request, response) => response.writeHead(501).end())
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
  })
  server.on('connect', ({ url = '', headers }, socket: Socket) => {
    const [, encoded] = /^Basic (.+)$/.exec(headers['proxy-authorization'] ?? '') ?? []
    const credential = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString()
    seen.push({ target: url, credential })
    if (proxy.behaviour === 'refuse') socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    if (proxy.behaviour === 'refuse' || proxy.behaviour === 'silent') return
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    if (proxy.behaviour === 'dead') socket.resume()
    else tunnel(socket, connect(port, '127.0.0.1'))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const url = `http://${userInfo}127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy: ConnectProxy = { url, seen, open: () => sockets.size, behaviour: 'tunnel' }
  return proxy
}

function tunnel(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
    from.pipe(to)
  }
}
