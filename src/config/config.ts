import { isGuid } from '../broker/lib/identifiers.ts'
import { originOf } from '../broker/lib/origin.ts'
import { InvalidConfigurationError } from '../errors.ts'
import { type ClientSettings, readClients, readTls, type TlsFiles } from './clients.ts'
import { EnvironmentReader, type Environment } from './environment.ts'
import { clouds, tokenExchangeOf } from './clouds.ts'
import { readDashboard, type DashboardSettings } from './dashboard.ts'
import { readMetricsExport, type MetricsExportSettings } from './metrics-export.ts'
import { readProxy, type ProxySettings } from './proxy.ts'
import { readRedis, type RedisSettings } from './redis.ts'
import { readOtlp } from './otlp.ts'
import { readTracing, type TracingSettings } from './tracing.ts'

/** Where the broker gets its client assertion. */
export type IdentitySettings =
  | {
      readonly source: 'managed-identity'
      /** Client id of the user-assigned managed identity. */
      readonly clientId: string
      /** `IDENTITY_ENDPOINT`, as the platform sets it. */
      readonly endpoint: string
      /** `IDENTITY_HEADER`: a secret. It is listed here so that the logs can leave it out. */
      readonly header: string
      /** The audience of the assertion, as in the federated credential. */
      readonly audience: string
    }
  | { readonly source: 'workload-identity'; readonly tokenFile: string; readonly homeTenant: string }

/** Where the identity's token comes from: the origin of the endpoint, or the path of the file. Has no credential. */
export const identityAddress = (identity: IdentitySettings): string =>
  identity.source === 'managed-identity' ? new URL(identity.endpoint).origin : identity.tokenFile

/** Choices of `BROKER_AUDIT`, the default first. */
export const auditModes = ['every', 'summary'] as const
/** Choices of `LOG_LEVEL`, the default first. */
export const logLevels = ['info', 'trace', 'debug', 'warn', 'error', 'fatal'] as const

/** Where and how the broker runs. The policy, not this, decides who may get which tokens. */
export interface Config extends ClientSettings {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** PEM files. Without them the broker uses plain http. */
  readonly tls: TlsFiles | undefined
  /** The operations endpoints' own listener. Without it they are on the main listener. */
  readonly management: { readonly host: string; readonly port: number } | undefined
  /** The origin under which clients reach the broker, without a trailing slash. Never taken from a request. */
  readonly publicUrl: string | undefined
  readonly policyFile: string
  /** Origin of Entra, without a trailing slash. */
  readonly authority: string
  readonly identity: IdentitySettings
  /** The proxy for all requests to other servers. The identity endpoint and loopback are reached directly. */
  readonly proxy: ProxySettings | undefined
  /** Where replicas share tokens. Without it, each replica works alone. */
  readonly redis: RedisSettings | undefined
  /** How people sign in to the dashboard with an issuer. Without it, they paste a credential. */
  readonly dashboard: DashboardSettings | undefined
  /** Where spans are sent. Without it, nothing is traced. */
  readonly tracing: TracingSettings | undefined
  /** Where metrics are sent. Without it, they are only scraped. */
  readonly metricsExport: MetricsExportSettings | undefined
  readonly cacheMaxEntries: number
  readonly minRemainingSeconds: number
  /** Milliseconds for one whole exchange, including the request for the identity token. */
  readonly upstreamTimeoutMs: number
  /** The maximum number of concurrent exchanges. */
  readonly upstreamConcurrency: number
  readonly drainSeconds: number
  readonly audit: (typeof auditModes)[number]
  readonly logLevel: (typeof logLevels)[number]
  /** Problems of the environment that do not prevent a start, such as variables that are ignored. */
  readonly warnings: readonly string[]
}

const publicCloud = 'https://login.microsoftonline.com'

/**
 * Reads the whole configuration. Nothing else reads the environment, apart from MSAL, which takes `IDENTITY_ENDPOINT`
 * and `IDENTITY_HEADER` from it by itself.
 *
 * @throws InvalidConfigurationError with all errors, each with the name of the variable
 */
export function readConfig(environment: Environment): Config {
  const read = new EnvironmentReader(environment)
  const tls = readTls(read)
  const isEncrypted = read.boolean('BROKER_BEHIND_TLS_PROXY') || tls !== undefined
  const port = read.integer('PORT', 8080, 0, 65_535)
  const authority = readAuthority(read)
  const otlp = readOtlp(read)
  const config: Config = {
    host: readHost(read, 'HOST', isEncrypted ? '0.0.0.0' : '127.0.0.1', isEncrypted),
    port,
    tls,
    ...readClients(read, tls),
    management: readManagement(read, port, isEncrypted),
    publicUrl: readPublicUrl(read),
    policyFile: read.required('BROKER_POLICY_FILE', "the policy file's path"),
    authority,
    identity: readIdentity(read, authority),
    proxy: readProxy(read),
    redis: readRedis(read),
    tracing: readTracing(read, otlp.traces),
    metricsExport: readMetricsExport(read, otlp.metrics),
    dashboard: readDashboard(read),
    cacheMaxEntries: read.integer('BROKER_CACHE_MAX_ENTRIES', 10_000, 1, 10_000_000),
    minRemainingSeconds: read.integer('BROKER_MIN_REMAINING_SECONDS', 60, 0, 3_600),
    upstreamTimeoutMs: read.integer('BROKER_UPSTREAM_TIMEOUT_MS', 5_000, 100, 60_000),
    upstreamConcurrency: read.integer('BROKER_UPSTREAM_CONCURRENCY', 64, 1, 10_000),
    drainSeconds: read.integer('BROKER_DRAIN_SECONDS', 10, 0, 600),
    audit: read.choice('BROKER_AUDIT', auditModes),
    logLevel: read.choice('LOG_LEVEL', logLevels),
    warnings: read.warnings,
  }
  refuseContradictions(read)
  read.warnOfUnknown(['BROKER_', 'TLS_', 'MANAGEMENT_'])
  if (read.errors.length > 0) throw new InvalidConfigurationError('The configuration is invalid', read.errors)
  return Object.freeze(config)
}

/** @param isEncrypted whether traffic beyond loopback uses TLS: the broker's own, or that of a proxy */
function readHost(
  read: EnvironmentReader,
  name: 'HOST' | 'MANAGEMENT_HOST',
  defaultHost: string,
  isEncrypted: boolean,
): string {
  const host = read.text(name) ?? defaultHost
  if (!isEncrypted && !/^(127(\.\d+){3}|::1|localhost)$/.test(host)) {
    read.addError(
      name,
      `must be a loopback address without TLS, because callers' tokens must not be sent over plain http; got "${host}"; ` +
        'set TLS_CERT_FILE and TLS_KEY_FILE, or BROKER_BEHIND_TLS_PROXY=true if a proxy on this host or in this pod ' +
        'terminates TLS',
    )
  }
  // A hosts file can map a name to any address. For `localhost`, Fastify also opens further servers that this code
  // does not know, so that their certificates would not be renewed.
  return host === 'localhost' ? '127.0.0.1' : host
}

/** The operators' listener. It uses TLS if the main one does, since some of its endpoints take credentials too. */
function readManagement(read: EnvironmentReader, mainPort: number, isEncrypted: boolean): Config['management'] {
  const port = read.integer('MANAGEMENT_PORT', -1, 0, 65_535)
  if (port === -1) {
    if (read.text('MANAGEMENT_HOST') !== undefined && read.text('MANAGEMENT_PORT') === undefined) {
      read.addError('MANAGEMENT_HOST', 'has no effect without MANAGEMENT_PORT; set both or neither')
    }
    return undefined
  }
  if (port !== 0 && port === mainPort)
    read.addError('MANAGEMENT_PORT', `must be another port than PORT; got ${port} for both`)
  return { host: readHost(read, 'MANAGEMENT_HOST', '127.0.0.1', isEncrypted), port }
}

function readPublicUrl(read: EnvironmentReader): string | undefined {
  const text = read.text('BROKER_PUBLIC_URL')
  const origin = text === undefined ? undefined : originOf(text)
  if (text !== undefined && origin === undefined) {
    const what = 'must be an https origin (http on loopback only) without a path, such as https://broker.example'
    read.addError('BROKER_PUBLIC_URL', `${what}; got "${text}"`)
  }
  return origin
}

function readAuthority(read: EnvironmentReader): string {
  const text = read.text('BROKER_AUTHORITY') ?? publicCloud
  const unsafe = read.boolean('BROKER_UNSAFE_AUTHORITY')
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/`) {
    read.addError('BROKER_AUTHORITY', `must be an https origin such as ${publicCloud}; got "${text}"`)
    return publicCloud
  }
  if (!clouds.has(url.origin) && !unsafe) {
    const known = [...clouds.keys()].join(', ')
    read.addError(
      'BROKER_AUTHORITY',
      `must be one of Entra's origins (${known}), because the identity's token is sent there; got "${text}"; ` +
        'for an emulator, set BROKER_UNSAFE_AUTHORITY=true',
    )
  } else if (!clouds.has(url.origin)) {
    read.warnings.push(
      `BROKER_UNSAFE_AUTHORITY=true: the identity's token is sent to ${url.origin}, which is not one of Entra's origins`,
    )
  }
  return url.origin
}

function readIdentity(read: EnvironmentReader, authority: string): IdentitySettings {
  const source = read.choice('BROKER_IDENTITY_SOURCE', ['managed-identity', 'workload-identity'])
  // With workload-identity it has no effect, and is no unknown variable.
  read.text('BROKER_IDENTITY_CLIENT_ID')
  const audience = read.text('BROKER_IDENTITY_AUDIENCE') ?? tokenExchangeOf(authority)
  if (source === 'workload-identity') {
    const homeTenant = read.required('AZURE_TENANT_ID', "the identity's tenant id; AKS workload identity sets it")
    if (homeTenant !== '' && !isGuid(homeTenant))
      read.addError('AZURE_TENANT_ID', `must be a GUID; got "${homeTenant}"`)
    const tokenFile = read.required('AZURE_FEDERATED_TOKEN_FILE', 'AKS workload identity sets it')
    return { source, tokenFile, homeTenant: homeTenant.toLowerCase() }
  }
  const clientId = read.required('BROKER_IDENTITY_CLIENT_ID', 'the client id of the user-assigned managed identity')
  if (clientId !== '' && !isGuid(clientId)) {
    read.addError('BROKER_IDENTITY_CLIENT_ID', `must be a GUID; got "${clientId}"`)
  }
  const endpoint = read.required('IDENTITY_ENDPOINT', platformHint(read))
  if (endpoint !== '' && !/^https?:/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    read.addError('IDENTITY_ENDPOINT', 'must be an http or https URL')
  }
  const header = read.requiredSecret('IDENTITY_HEADER', platformHint(read))
  return { source, clientId, endpoint, header, audience }
}

const platformHint = (read: EnvironmentReader): string =>
  read.text('AZURE_FEDERATED_TOKEN_FILE') === undefined
    ? 'Container Apps and App Service set it when a user-assigned identity is assigned to the app'
    : 'this looks like AKS workload identity: set BROKER_IDENTITY_SOURCE=workload-identity'

/** Refuses variables with which MSAL or Node.js would act against this configuration. */
function refuseContradictions(read: EnvironmentReader): void {
  if (read.text('NODE_TLS_REJECT_UNAUTHORIZED') === '0') {
    const what = "accepts any certificate, also where the identity's token is sent; use NODE_EXTRA_CA_CERTS instead"
    if (read.boolean('BROKER_UNSAFE_AUTHORITY')) read.warnings.push(`NODE_TLS_REJECT_UNAUTHORIZED=0 ${what}`)
    else read.addError('NODE_TLS_REJECT_UNAUTHORIZED', what)
  }
  if (read.text('IDENTITY_SERVER_THUMBPRINT') !== undefined) {
    read.addError('IDENTITY_SERVER_THUMBPRINT', 'would make MSAL use Service Fabric, which is not supported; unset it')
  }
}
