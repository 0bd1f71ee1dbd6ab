import type { EnvironmentReader } from './environment.ts'

/** Where spans are sent, and which. */
export interface TracingSettings {
  /** The whole URL, for OTLP over HTTP. */
  readonly url: string
  /** Headers of these requests. They may have a credential, so they are secret. */
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
  /** The share of traces that begin here and are recorded, from 0 to 1. */
  readonly ratio: number
  /** Exact texts that no log line may have. */
  readonly secrets: readonly string[]
}

/** Choices of `OTEL_TRACES_SAMPLER`, the default first. */
export const samplers = ['parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'] as const

const [endpoint, tracesEndpoint] = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']
const protocol = 'OTEL_EXPORTER_OTLP_PROTOCOL'
const leastSecretLength = 8

/**
 * Reads OpenTelemetry's variables. Returns `undefined` without an endpoint: then nothing is traced. A platform may set them
 * for all apps, so a protocol that is not supported does not prevent the start.
 */
export function readTracing(read: EnvironmentReader): TracingSettings | undefined {
  const urls = [readUrl(read, tracesEndpoint), readUrl(read, endpoint)] as const
  const general = readHeaders(read, 'OTEL_EXPORTER_OTLP_HEADERS')
  const headers = { ...general, ...readHeaders(read, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS') }
  const serviceName = read.text('OTEL_SERVICE_NAME') ?? 'token-broker'
  const ratio = readRatio(read)
  const spoken = read.text(protocol) ?? 'http/protobuf'
  const url = urls[0] ?? (urls[1] && `${urls[1].replace(/\/$/, '')}/v1/traces`)
  if (url === undefined) return undefined
  if (spoken !== 'http/protobuf') {
    read.warnings.push(`${protocol}=${spoken} is not supported, so nothing is traced; set it to http/protobuf`)
    return undefined
  }
  const secrets = Object.values(headers).filter(value => value.length >= leastSecretLength)
  return Object.freeze({ url, headers, serviceName, ratio, secrets })
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

function readRatio(read: EnvironmentReader): number {
  const sampler = read.choice('OTEL_TRACES_SAMPLER', samplers)
  const text = read.text('OTEL_TRACES_SAMPLER_ARG')
  const ratio = text !== undefined && /^(0(\.\d{1,9})?|1(\.0{1,9})?)$/.test(text) ? Number(text) : undefined
  if (text !== undefined && ratio === undefined) {
    read.addError('OTEL_TRACES_SAMPLER_ARG', `must be a number from 0 to 1; got "${text}"`)
  }
  if (sampler === 'parentbased_traceidratio') return ratio ?? 1
  return sampler === 'parentbased_always_on' ? 1 : 0
}
