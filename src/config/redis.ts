import { isLoopback } from '../broker/lib/origin.ts'
import type { EnvironmentReader } from './environment.ts'

/** How the broker authenticates to Redis. */
export type RedisAuth =
  | { readonly kind: 'none' }
  /** Without a user name: the user `default`. */
  | { readonly kind: 'password'; readonly username: string | undefined; readonly passwordFile: string }
  /** With a token of the broker's own managed identity. */
  | { readonly kind: 'entra' }

/** The Redis in which replicas share tokens. */
export interface RedisSettings {
  /** An IPv6 address has no brackets. */
  readonly host: string
  readonly port: number
  readonly isEncrypted: boolean
  /** PEM file of the authorities to trust in place of the system's. */
  readonly caFile: string | undefined
  readonly auth: RedisAuth
  /** The file of the keys under which tokens are encrypted. */
  readonly keyFile: string
}

/** The address of a Redis for people: `host:port`. It has no credential. */
export const addressOf = ({ host, port }: Pick<RedisSettings, 'host' | 'port'>): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** Choices of `BROKER_REDIS_AUTH`, the default first. */
export const redisAuths = ['none', 'password', 'entra'] as const

const urlName = 'BROKER_REDIS_URL'
const keyName = 'BROKER_CACHE_KEY_FILE'
const defaultPort = 6379
/** A key ring's line, whose key must not be repeated. */
const keyShape = /:[A-Za-z0-9+/]{43}=/
const mustBe =
  'must be rediss://host:port (redis:// on loopback only) without a path, such as rediss://redis.example:10000'

/**
 * Reads `BROKER_REDIS_…` and `BROKER_CACHE_KEY_FILE`. Returns `undefined` without the URL. Errors do not repeat the URL, which
 * may have a password, nor a key in place of the key file.
 */
export function readRedis(read: EnvironmentReader): RedisSettings | undefined {
  const text = read.secret(urlName)
  const keyFile = readKeyFile(read)
  const isInsecure = read.boolean('BROKER_REDIS_INSECURE')
  const caFile = read.text('BROKER_REDIS_CA_FILE')
  const auth = readAuth(read)
  if (text === undefined) {
    if (keyFile !== undefined) read.addError(urlName, `is required with ${keyName}`)
    else refuseWithoutUrl(read, isInsecure)
    return undefined
  }
  if (keyFile === undefined) read.addError(keyName, `is required with ${urlName}; token-broker key cache creates a key`)
  const address = readAddress(read, text, isInsecure, auth)
  if (caFile !== undefined && address?.isEncrypted === false)
    read.addError('BROKER_REDIS_CA_FILE', `has no effect without rediss:// in ${urlName}`)
  return address && Object.freeze({ ...address, caFile, auth, keyFile: keyFile ?? '' })
}

const others = ['BROKER_REDIS_AUTH', 'BROKER_REDIS_USERNAME', 'BROKER_REDIS_PASSWORD_FILE', 'BROKER_REDIS_CA_FILE']

function refuseWithoutUrl(read: EnvironmentReader, isInsecure: boolean): void {
  const given = others.filter(name => read.text(name) !== undefined)
  for (const name of isInsecure ? [...given, 'BROKER_REDIS_INSECURE'] : given)
    read.addError(name, `has no effect without ${urlName}`)
}

function readKeyFile(read: EnvironmentReader): string | undefined {
  if (keyShape.test(read.secret(keyName) ?? '')) {
    read.addError(keyName, 'looks like a key; give the path of a file that contains it')
    return ''
  }
  return read.text(keyName)
}

function readAuth(read: EnvironmentReader): RedisAuth {
  const kind = read.choice('BROKER_REDIS_AUTH', redisAuths)
  const username = read.text('BROKER_REDIS_USERNAME')
  const passwordFile = read.text('BROKER_REDIS_PASSWORD_FILE')
  if (kind === 'password') {
    if (passwordFile === undefined)
      read.addError('BROKER_REDIS_PASSWORD_FILE', 'is required with BROKER_REDIS_AUTH=password')
    return { kind, username, passwordFile: passwordFile ?? '' }
  }
  if (kind === 'entra' && read.text('BROKER_IDENTITY_SOURCE') === 'workload-identity') {
    const what = 'entra needs a managed identity of the platform: BROKER_IDENTITY_SOURCE=managed-identity; use password'
    read.addError('BROKER_REDIS_AUTH', what)
  }
  if (read.secret(urlName) !== undefined) {
    const why = 'has no effect without BROKER_REDIS_AUTH=password'
    if (username !== undefined) read.addError('BROKER_REDIS_USERNAME', why)
    if (passwordFile !== undefined) read.addError('BROKER_REDIS_PASSWORD_FILE', why)
  }
  return { kind }
}

type Address = Pick<RedisSettings, 'host' | 'port' | 'isEncrypted'>

function readAddress(
  read: EnvironmentReader,
  text: string,
  isInsecure: boolean,
  { kind }: RedisAuth,
): Address | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && (url.username !== '' || url.password !== '')) {
    const instead = 'set BROKER_REDIS_AUTH=password, BROKER_REDIS_PASSWORD_FILE and, if needed, BROKER_REDIS_USERNAME'
    read.addError(urlName, `must not have a user name or a password; ${instead}`)
    return undefined
  }
  const isEncrypted = url?.protocol === 'rediss:'
  if (url === undefined || !isServer(url)) {
    read.addError(urlName, mustBe)
    return undefined
  }
  const { hostname } = url
  if (!isEncrypted && !isLoopback(hostname)) refusePlain(read, hostname, isInsecure, kind)
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || defaultPort), isEncrypted }
}

const isServer = ({ protocol, hostname, port, pathname, search, hash }: URL): boolean =>
  (protocol === 'redis:' || protocol === 'rediss:') &&
  /^([\w.-]+|\[[0-9a-f:.]+\])$/.test(hostname) &&
  port !== '0' &&
  (pathname === '' || pathname === '/') &&
  search === '' &&
  hash === ''

function refusePlain(read: EnvironmentReader, host: string, isInsecure: boolean, kind: RedisAuth['kind']): void {
  if (kind === 'entra') {
    read.addError(
      urlName,
      'must be rediss:// with BROKER_REDIS_AUTH=entra, because the token of the identity is sent there',
    )
  } else if (isInsecure) {
    read.warnings.push(
      `BROKER_REDIS_INSECURE=true: the connection to ${host} is not encrypted. The tokens are; a password and who uses which key are not`,
    )
  } else {
    read.addError(
      urlName,
      'must be rediss://, because anyone on the way could purge tokens, or respond in place of Redis; ' +
        'redis:// is for loopback, or set BROKER_REDIS_INSECURE=true where the network is trusted',
    )
  }
}
