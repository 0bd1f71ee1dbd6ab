/**
 * A preload, `node --import ./test/support/network-off.ts`, that keeps a process off the network: connections to anything
 * but loopback and Unix sockets fail at once, and so do look-ups of names other than localhost. Child processes get it
 * only if they are given the same flag.
 */
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { BlockList, isIP, isIPv6, Socket } from 'node:net'

/** What a refused connection or look-up fails with. */
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

/** The host that arguments of `connect` name; `undefined` where it is the default, localhost, or a Unix socket. */
function hostOf(args: readonly unknown[]): string | undefined {
  // net.connect hands its arguments on as one list that it has put in order.
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
  // Not in this turn: tls.connect goes on to use the socket.
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
