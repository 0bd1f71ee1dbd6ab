/**
 * A preload, `node --import ./test/support/network-off.ts`, that disables the network in a process. Connections fail
 * immediately, except to loopback and Unix sockets. Look-ups of names other than localhost fail too. A child process
 * needs the same flag.
 */
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { BlockList, isIP, isIPv6, Socket } from 'node:net'

/** The error of a refused connection or look-up. */
export class NetworkOffError extends Error {
  readonly code = 'ENETWORKOFF'

  constructor(host: string) {
    super(`the network is off in tests: ${host} is not loopback`)
    this.name = 'NetworkOffError'
  }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  if (isIP(bare) === 0) return bare.toLowerCase() === 'localhost'
  return loopback.check(bare, isIPv6(bare) ? 'ipv6' : 'ipv4')
}

type Connect = (this: Socket, ...args: unknown[]) => Socket

/** The host in the arguments of `connect`; `undefined` for the default (localhost) and for a Unix socket. */
function hostOf(args: readonly unknown[]): string | undefined {
  // net.connect passes its normalized arguments as one list.
  const [first, second] = (Array.isArray(args[0]) ? args[0] : args) as unknown[]
  if (typeof first === 'object' && first !== null) {
    const { path, host } = first as { path?: unknown; host?: unknown }
    return typeof path !== 'string' && typeof host === 'string' ? host : undefined
  }
  const isPort = typeof first === 'number' || /^\d+$/.test(String(first))
  return isPort && typeof second === 'string' ? second : undefined
}

const original: unknown = Reflect.get(Socket.prototype, 'connect')
const connect = original as Connect

const guarded: Connect = function (this: Socket, ...args: unknown[]) {
  const host = hostOf(args)
  if (host === undefined || isLoopback(host)) return connect.apply(this, args)
  // Not immediately, because tls.connect still uses the socket.
  process.nextTick(() => this.destroy(new NetworkOffError(host)))
  return this
}

Socket.prototype.connect = guarded

type Lookup = (hostname: string, ...rest: unknown[]) => void
const lookup = dns.lookup as Lookup
const lookupPromise = dns.promises.lookup as (hostname: string, ...rest: unknown[]) => Promise<unknown>

const guardedLookup: Lookup = (hostname, ...rest) => {
  const callback = rest.at(-1)
  if (isLoopback(hostname) || typeof callback !== 'function') return lookup(hostname, ...rest)
  process.nextTick(callback, new NetworkOffError(hostname))
}

Object.assign(dns, { lookup: guardedLookup })
Object.assign(dns.promises, {
  lookup: (hostname: string, ...rest: unknown[]) =>
    isLoopback(hostname) ? lookupPromise(hostname, ...rest) : Promise.reject(new NetworkOffError(hostname)),
})
syncBuiltinESMExports()
