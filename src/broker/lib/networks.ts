import { BlockList, isIP } from 'node:net'

/** Why a text is no address or network (CIDR) of proxies, or `undefined` when it is one. */
export function networkFault(text: string): string | undefined {
  const [address = '', prefix, ...more] = text.split('/')
  const family = isIP(address)
  const most = family === 6 ? 128 : 32
  if (family === 0 || address.includes('%') || more.length > 0) return 'is no address or network such as 10.0.0.0/8'
  if (prefix === undefined) return undefined
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > most) return `has no prefix length from 1 to ${most}`
  return Number(prefix) === 0 ? 'is everybody, and everybody could then say who he is' : undefined
}

/** The networks of a list without faults. */
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
