import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { openSocket, settle, type Server } from './reach.ts'

/** Bytes of the largest response to CONNECT that is read. */
const maxHeadBytes = 16_384

/** Opens a connection to a server through a proxy (RFC 9110 §9.3.6). Rejects with the proxy's status, or with the network's error. */
export async function openTunnel(proxyUrl: string, { host, port }: Server, signal: AbortSignal): Promise<Socket> {
  const proxy = new URL(proxyUrl)
  const name = proxy.hostname.replace(/^\[(.*)\]$/, '$1')
  const isTls = proxy.protocol === 'https:'
  const below = await openSocket(name, Number(proxy.port || (isTls ? 443 : 80)), signal)
  const socket = isTls ? await secure(below, name, signal) : below
  const target = `${host}:${port}`
  const userInfo = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  const authorization =
    userInfo === ':' ? '' : `Proxy-Authorization: Basic ${Buffer.from(userInfo).toString('base64')}\r\n`
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let head = ''
  const read = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    if (head.includes('\r\n\r\n') || head.length > maxHeadBytes) resolve(head)
  }
  socket.on('data', read)
  socket.once('error', reject)
  socket.once('close', () => reject(new Error('the proxy closed the connection')))
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`)
  try {
    const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(await promise) ?? []
    if (status === undefined || !status.startsWith('2')) throw new Error(`HTTP ${status ?? 'without a status'}`)
    socket.off('data', read)
    return socket
  } catch (thrown) {
    socket.destroy()
    throw thrown
  }
}

function secure(below: Socket, host: string, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connectTls({ socket: below, host, servername: host })
  settle(socket, 'secureConnect', signal, () => resolve(socket), reject)
  return promise
}
