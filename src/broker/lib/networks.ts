import { BlockList, isIP } from 'node:net'

/**
 * Why texts are not the IP addresses and CIDR networks of proxies, each as `must …` with the text. Networks that contain
 * nearly every client are refused, alone and together. Empty if the list is accepted.
 */
export function networkErrors(list: readonly string[]): readonly string[] {
  const errors = list.flatMap(text => {
    const what = formError(text) ?? (areTooWide([text]) ? `must not be ${tooWide}` : undefined)
    return what === undefined ? [] : [`${what}; got "${text}"`]
  })
  return errors.length > 0 || !areTooWide(list) ? errors : [`must not be, together, ${tooWide}`]
}

function formError(text: string): string | undefined {
  const [address = '', prefix, ...more] = text.split('/')
  const family = isIP(address)
  const most = family === 6 ? 128 : 32
  if (family === 0 || address.includes('%') || more.length > 0) {
    return 'must be an IP address or a CIDR network such as 10.0.0.0/8'
  }
  if (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= most)) return undefined
  return `must have a prefix length from 1 to ${most}`
}

const tooWide =
  'half of all IPv4 addresses or an eighth of all IPv6 addresses, or more: nearly every client could claim to be another one'

/** Addresses as numbers of 128 bits. IPv4 addresses are those of `::ffff:0:0/96`, since a network there contains them. */
interface Range {
  readonly first: bigint
  /** The first address behind it. */
  readonly end: bigint
}

const everyIpv4: Range = { first: 0xffffn << 32n, end: 0x10000n << 32n }
/** The global unicast addresses (`2000::/3`) are an eighth of all. */
const mostOfIpv6 = 1n << 125n
const mostOfIpv4 = 1n << 31n

function areTooWide(list: readonly string[]): boolean {
  const ranges = merged(list.map(rangeOf))
  const within = (whole: Range): bigint => ranges.reduce((sum, each) => sum + common(each, whole), 0n)
  return within(everyIpv4) >= mostOfIpv4 || within({ first: 0n, end: 1n << 128n }) >= mostOfIpv6
}

/** How many addresses two ranges have in common. */
function common(one: Range, other: Range): bigint {
  const first = one.first > other.first ? one.first : other.first
  const end = one.end < other.end ? one.end : other.end
  return end > first ? end - first : 0n
}

/** The same addresses in ranges of which none has an address of another. */
function merged(ranges: readonly Range[]): readonly Range[] {
  const result: Range[] = []
  for (const range of ranges.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const last = result.at(-1)
    if (last === undefined || range.first >= last.end) result.push(range)
    else if (range.end > last.end) result[result.length - 1] = { first: last.first, end: range.end }
  }
  return result
}

function rangeOf(network: string): Range {
  const [address = '', prefix] = network.split('/')
  const [bits, value] = isIP(address) === 6 ? [128, ipv6(address)] : [32, everyIpv4.first + ipv4(address)]
  const size = 1n << BigInt(bits - Number(prefix ?? bits))
  const first = value - (value % size)
  return { first, end: first + size }
}

const ipv4 = (address: string): bigint => address.split('.').reduce((sum, part) => (sum << 8n) + BigInt(part), 0n)

/** The URL parser writes an IPv6 address in hexadecimal groups, also one that ends with an IPv4 address. */
function ipv6(address: string): bigint {
  const [before = '', after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const [left, right] = [groupsOf(before), groupsOf(after ?? '')]
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n)
}

const groupsOf = (text: string): readonly string[] => (text === '' ? [] : text.split(':'))

/** The networks of a list. {@link networkErrors} must accept it. */
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
