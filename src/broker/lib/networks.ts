import { BlockList, isIP } from 'node:net'

/** Why a text is not an IP address or CIDR network of proxies, as `must …`; `undefined` if it is one. */
export function networkError(text: string): string | undefined {
  const [address = '', prefix, ...more] = text.split('/')
  const family = isIP(address)
  const most = family === 6 ? 128 : 32
  if (family === 0 || address.includes('%') || more.length > 0) {
    return 'must be an IP address or a CIDR network such as 10.0.0.0/8'
  }
  if (prefix === undefined) return undefined
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > most) return `must have a prefix length from 1 to ${most}`
  return Number(prefix) === 0 ? 'must not be every address: every client could then claim to be another one' : undefined
}

/** The networks of a list. {@link networkError} must accept each of them. */
export function networksOf(list: readonly string[]): BlockList {
  const networks = new BlockList()
  for (const each of list) {
    const [address = '', prefix] = each.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) networks.addAddress(address, family)
    else networks.addSubnet(address, Number(prefix), family)
  }
  return networks
}
