import { isIPv4 } from 'node:net'

/**
 * Whether Node's agents reach a server without the proxy (https://nodejs.org/api/http.html#built-in-proxy-support).
 *
 * @param noProxy in Node's form, as the configuration has it
 */
export function isDirect(host: string, port: number, noProxy: string): boolean {
  const name = host.toLowerCase()
  return noProxy
    .toLowerCase()
    .split(',')
    .some(entry => matches(entry, name, port))
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === '*' || entry === host || entry === `${host}:${port}`) return true
  if (entry.startsWith('.')) return host === entry.slice(1) || host.endsWith(entry)
  if (entry.startsWith('*.')) return host.endsWith(entry.slice(1))
  const [first = '', last = ''] = entry.split('-')
  if (!isIPv4(host) || !isIPv4(first) || !isIPv4(last)) return false
  const [from, address, to] = [first, host, last].map(numberOf)
  return from !== undefined && address !== undefined && to !== undefined && from <= address && address <= to
}

const numberOf = (address: string): number => address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
