import type { EnvironmentReader } from './environment.ts'

/** Where one signal of OpenTelemetry is sent. */
export interface OtlpTarget {
  /** The whole URL, for OTLP over HTTP. */
  readonly url: string
  /** Headers of these requests. They may have a credential, so they are secret. */
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
  /** Exact texts that no log line may have. */
  readonly secrets: readonly string[]
}

/** The targets of both signals; `undefined` for one that is not sent. */
export interface OtlpTargets {
  readonly traces: OtlpTarget | undefined
  readonly metrics: OtlpTarget | undefined
}

const endpoint = 'OTEL_EXPORTER_OTLP_ENDPOINT'
const protocol = 'OTEL_EXPORTER_OTLP_PROTOCOL'
const leastSecretLength = 8

/**
 * Reads OpenTelemetry's variables about receivers. Without an endpoint nothing is sent. A platform may set them for all
 * apps, so a protocol or an exporter that is not supported does not prevent the start.
 *
 * @param name the service, unless `OTEL_SERVICE_NAME` names it
 */
export function readOtlp(read: EnvironmentReader, name = 'token-broker'): OtlpTargets {
  const base = readUrl(read, endpoint)
  const headers = readHeaders(read, 'OTEL_EXPORTER_OTLP_HEADERS')
  const serviceName = read.text('OTEL_SERVICE_NAME') ?? name
  const spoken = read.text(protocol) ?? 'http/protobuf'
  const target = (signal: keyof OtlpTargets): OtlpTarget | undefined => {
    const variable = (suffix: string) => `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${suffix}`
    const own = readUrl(read, variable('ENDPOINT'))
    const all = { ...headers, ...readHeaders(read, variable('HEADERS')) }
    const isSent = readExporter(read, signal)
    const url = own ?? (base && `${base.replace(/\/$/, '')}/v1/${signal}`)
    if (url === undefined || !isSent || spoken !== 'http/protobuf') return undefined
    const secrets = Object.values(all).filter(value => value.length >= leastSecretLength)
    return Object.freeze({ url, headers: all, serviceName, secrets })
  }
  const targets = { traces: target('traces'), metrics: target('metrics') }
  if (spoken !== 'http/protobuf' && hasEndpoint(read)) {
    read.warnings.push(`${protocol}=${spoken} is not supported, so nothing is sent; set it to http/protobuf`)
  }
  return targets
}

const hasEndpoint = (read: EnvironmentReader): boolean =>
  [endpoint, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'].some(
    name => read.secret(name) !== undefined,
  )

/** Whether a signal is sent: `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` is `otlp`, or absent. */
function readExporter(read: EnvironmentReader, signal: keyof OtlpTargets): boolean {
  const name = `OTEL_${signal.toUpperCase()}_EXPORTER`
  const exporter = read.text(name) ?? 'otlp'
  if (exporter !== 'otlp' && exporter !== 'none') {
    read.warnings.push(`${name}=${exporter} is not supported, so no ${signal} are sent; set it to otlp or none`)
  }
  return exporter === 'otlp'
}

/** The URL's text. An error does not repeat it, since it may have a password. */
function readUrl(read: EnvironmentReader, name: string): string | undefined {
  const text = read.secret(name)
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined
  if (text !== undefined && (url === undefined || !isReceiver(url))) {
    read.addError(
      name,
      'must be the http or https URL of an OTLP/HTTP receiver without user name, query and fragment, such as ' +
        'http://localhost:4318',
    )
  }
  return url?.href
}

const isReceiver = ({ protocol: scheme, username, password, search, hash }: URL): boolean =>
  (scheme === 'https:' || scheme === 'http:') && `${username}${password}${search}${hash}` === ''

/** `name=value,name=value`, values percent-encoded. Errors do not repeat them. */
function readHeaders(read: EnvironmentReader, name: string): Readonly<Record<string, string>> {
  const pairs = (read.secret(name) ?? '').split(',').filter(pair => pair.trim() !== '')
  const headers: Record<string, string> = {}
  for (const pair of pairs) {
    const [, field, encoded = ''] = /^\s*([\w-]{1,64})\s*=\s*([!-~]{1,4096})\s*$/.exec(pair) ?? []
    const value = decoded(encoded)
    if (field === undefined || value === undefined || !/^[ -~]+$/.test(value)) {
      read.addError(name, 'must be name=value pairs, separated by commas, with percent-encoded values')
      return {}
    }
    headers[field] = value
  }
  return headers
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
