import { isIP, isIPv4 } from 'node:net'
import type { EnvironmentReader } from './environment.ts'

/** The proxy through which requests to other servers are sent. */
export interface ProxySettings {
  /** Its http or https URL, with the user name and the password that it requires: a secret. */
  readonly url: string
  /** The same URL without user name and password. */
  readonly shownUrl: string
  /**
   * The servers that are reached directly, loopback among them, in the form that the agents of Node.js read
   * (https://nodejs.org/api/http.html#built-in-proxy-support).
   */
  readonly noProxy: string
  /** Exact texts that no log line may have. */
  readonly secrets: readonly string[]
}

/** Loopback in every form that a URL can have, since a proxy would reach its own. */
const loopback = ['localhost', '127.0.0.0-127.255.255.255', '::1', '[::1]']
/** Shorter passwords are not searched in log lines: they would be found in ordinary words. */
const leastSecretLength = 8
const mustBe =
  'must be the http or https URL of a proxy without a path, such as http://proxy.example:3128; ' +
  'special characters of its user name and password must be percent-encoded'

/**
 * Reads `HTTPS_PROXY` and `NO_PROXY`, each also in lower case. Returns `undefined` without `HTTPS_PROXY`. Errors do not
 * repeat the URL, which may have a password.
 */
export function readProxy(read: EnvironmentReader): ProxySettings | undefined {
  const noProxy = readNoProxy(read)
  const text = eitherCase('HTTPS_PROXY', read, name => read.secret(name))
  const others = withoutEffect.filter(name => read.secret(name) !== undefined)
  if (text === undefined) {
    const why = 'has no effect, because all requests to other servers are https; set HTTPS_PROXY'
    read.warnings.push(...others.map(name => `${name} ${why}`))
    return undefined
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const userInfo = url && userInfoOf(url)
  if (url === undefined || userInfo === undefined || !isProxy(url)) {
    read.addError('HTTPS_PROXY', mustBe)
    return undefined
  }
  return Object.freeze({
    url: url.href,
    shownUrl: `${url.protocol}//${url.host}`,
    noProxy,
    secrets: secretsOf(url, userInfo),
  })
}

/** The variable, written in upper or in lower case. Two values that differ are an error. */
function eitherCase(
  name: string,
  read: EnvironmentReader,
  get: (name: string) => string | undefined,
): string | undefined {
  const [upper, lower] = [get(name), get(name.toLowerCase())]
  if (upper !== undefined && lower !== undefined && upper !== lower) {
    read.addError(name, `differs from ${name.toLowerCase()}; set one of them only`)
  }
  return lower ?? upper
}

/** Variables of other programs that have no effect here, in both spellings. */
const withoutEffect = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']

const isProxy = ({ protocol, pathname, search, hash }: URL): boolean =>
  (protocol === 'http:' || protocol === 'https:') && pathname === '/' && search === '' && hash === ''

/** `user:password`, decoded; empty without both. `undefined` if they cannot be decoded. */
function userInfoOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return ''
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  } catch {
    return undefined
  }
}

/** Every form in which the password can be in a text: in the URL, decoded, and as in the header. */
function secretsOf({ username, password }: URL, userInfo: string): readonly string[] {
  const forms = [
    `${username}:${password}@`,
    Buffer.from(userInfo).toString('base64'),
    password,
    decodeURIComponent(password),
  ]
  return [...new Set(forms)].filter(text => text.length >= leastSecretLength)
}

/** `NO_PROXY` in Node's form, with loopback. Entries that match no server cause a warning. */
function readNoProxy(read: EnvironmentReader): string {
  const entries = (eitherCase('NO_PROXY', read, name => read.text(name)) ?? '')
    .split(/[\s,]+/)
    .filter(entry => entry !== '')
  const readable = entries.flatMap(entry => {
    const forms = nodeForms(entry)
    if (forms.length === 0) {
      read.warnings.push(`NO_PROXY: "${entry}" is neither a name, an address nor an IPv4 network, and is ignored`)
    }
    return forms
  })
  return [...readable, ...loopback].join(',')
}

const nameForm = /^[\w-]+(\.[\w-]+)*$/

/**
 * An entry as Node's agents read it. They compare a name without a dot before it with whole names only; here it also
 * stands for the names below it, as for curl and Go. They do not know CIDR, and see an IPv6 address with or without
 * brackets.
 */
function nodeForms(entry: string): readonly string[] {
  const [, bracketed = entry, port = ''] = /^\[(.*)\](:\d+)?$/.exec(entry) ?? []
  if (isIP(bracketed) === 6) return [`${bracketed}${port}`, `[${bracketed}]${port}`]
  if (entry === '*' || isIPv4(entry) || isRange(entry)) return [entry]
  const [host = '', ofHost, ...more] = entry.split(':')
  if (ofHost !== undefined) return more.length === 0 && nameForm.test(host) && /^\d+$/.test(ofHost) ? [entry] : []
  if (entry.includes('/')) return rangeOf(entry)
  if (nameForm.test(entry)) return [`.${entry}`]
  return nameForm.test(entry.replace(/^\*?\./, '')) ? [entry] : []
}

const isRange = (entry: string): boolean => {
  const ends = entry.split('-')
  return ends.length === 2 && ends.every(end => isIPv4(end))
}

/** An IPv4 network in CIDR form as a range. */
function rangeOf(network: string): readonly string[] {
  const [address = '', bits = '', ...more] = network.split('/')
  if (!isIPv4(address) || !/^\d{1,2}$/.test(bits) || Number(bits) > 32 || more.length > 0) return []
  const size = 2 ** (32 - Number(bits))
  const number = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
  const first = Math.floor(number / size) * size
  return [`${dotted(first)}-${dotted(first + size - 1)}`]
}

const dotted = (number: number): string => [24, 16, 8, 0].map(shift => Math.floor(number / 2 ** shift) % 256).join('.')
