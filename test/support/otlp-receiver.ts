import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metricOf, type ReceivedMetric } from './otlp-metrics.ts'
import { attributesOf, bytes, fieldsOf, type Value } from './protobuf.ts'

export type { ReceivedMetric } from './otlp-metrics.ts'

/** A span as the receiver got it. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty for a root. */
  readonly parentId: string
  readonly name: string
  /** 1 INTERNAL, 2 SERVER, 3 CLIENT. */
  readonly kind: number
  readonly attributes: Readonly<Record<string, string | number>>
  /** 2 is an error. */
  readonly status: number
  /** The trace and span ids of the spans to which it links. */
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
}

/** A receiver of OTLP over HTTP on loopback, which decodes protobuf (opentelemetry-proto, trace/v1 and metrics/v1). */
export interface OtlpReceiver {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** The metrics of all requests that it accepted. */
  readonly metrics: readonly ReceivedMetric[]
  /** Responds with another status from now on. */
  readonly respond: (status: number) => void
  /** The attributes of the last resource. */
  readonly resource: () => Readonly<Record<string, string | number>>
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: Buffer }[]
  readonly close: () => Promise<void>
}

/** Starts a receiver that responds with this status; with 0, it never responds. */
export async function startOtlpReceiver(first = 200): Promise<OtlpReceiver> {
  let status = first
  const spans: ReceivedSpan[] = []
  const metrics: ReceivedMetric[] = []
  const requests: { path: string; headers: IncomingHttpHeaders; body: Buffer }[] = []
  let resource: Readonly<Record<string, string | number>> = {}
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      requests.push({ path: request.url ?? '', headers: request.headers, body })
      for (const group of fieldsOf(body)[1] ?? []) {
        resource = attributesOf(fieldsOf(bytes(fieldsOf(bytes(group))[1]?.[0]))[1])
        for (const scope of fieldsOf(bytes(group))[2] ?? []) {
          const items = (fieldsOf(bytes(scope))[2] ?? []).map(bytes)
          if (!request.url?.endsWith('/metrics')) spans.push(...items.map(spanOf))
          else if (status === 200) metrics.push(...items.map(metricOf))
        }
      }
      if (status !== 0) response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    metrics,
    respond: next => {
      status = next
    },
    resource: () => resource,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function spanOf(message: Buffer): ReceivedSpan {
  const fields = fieldsOf(message)
  const [traceId, spanId, parentId] = [1, 2, 4].map(field => idOf(fields[field]?.[0]))
  return {
    traceId: traceId ?? '',
    spanId: spanId ?? '',
    parentId: parentId ?? '',
    name: bytes(fields[5]?.[0]).toString(),
    kind: Number(fields[6]?.[0]),
    attributes: attributesOf(fields[9]),
    status: Number(fieldsOf(bytes(fields[15]?.[0]))[3]?.[0] ?? 0),
    links: (fields[13] ?? []).map(link => {
      const { 1: trace, 2: span } = fieldsOf(bytes(link))
      return { traceId: idOf(trace?.[0]), spanId: idOf(span?.[0]) }
    }),
  }
}

const idOf = (value: Value | undefined): string => bytes(value).toString('hex')
