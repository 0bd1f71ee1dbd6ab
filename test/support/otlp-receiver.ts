import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

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
}

/** A receiver of OTLP over HTTP on loopback, which decodes protobuf (opentelemetry-proto, trace/v1). */
export interface OtlpReceiver {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** The attributes of the last resource. */
  readonly resource: () => Readonly<Record<string, string | number>>
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: Buffer }[]
  readonly close: () => Promise<void>
}

/** Starts a receiver that responds with this status. */
export async function startOtlpReceiver(status = 200): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
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
        for (const scope of fieldsOf(bytes(group))[2] ?? [])
          spans.push(...(fieldsOf(bytes(scope))[2] ?? []).map(span => spanOf(bytes(span))))
      }
      response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    resource: () => resource,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

type Value = number | Buffer
type Fields = Readonly<Record<number, readonly Value[]>>

/** The fields of a message: numbers of varints, and the bytes of all others. */
function fieldsOf(message: Buffer): Fields {
  const fields: Record<number, Value[]> = {}
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message.readUInt8(at++)
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const take = (length: number): Buffer => message.subarray(at, (at += length))
  while (at < message.length) {
    const tag = varint()
    const type = tag & 7
    const value = type === 0 ? varint() : take(type === 1 ? 8 : type === 5 ? 4 : varint())
    ;(fields[tag >>> 3] ??= []).push(value)
  }
  return fields
}

const bytes = (value: Value | undefined): Buffer => (Buffer.isBuffer(value) ? value : Buffer.alloc(0))

function attributesOf(pairs: readonly Value[] = []): Readonly<Record<string, string | number>> {
  return Object.fromEntries(
    pairs.map(pair => {
      const { 1: key, 2: value } = fieldsOf(bytes(pair))
      const { 1: text, 3: int } = fieldsOf(bytes(value?.[0]))
      return [bytes(key?.[0]).toString(), text ? bytes(text[0]).toString() : Number(int?.[0])]
    }),
  )
}

function spanOf(message: Buffer): ReceivedSpan {
  const fields = fieldsOf(message)
  const [traceId, spanId, parentId] = [1, 2, 4].map(field => bytes(fields[field]?.[0]).toString('hex'))
  return {
    traceId: traceId ?? '',
    spanId: spanId ?? '',
    parentId: parentId ?? '',
    name: bytes(fields[5]?.[0]).toString(),
    kind: Number(fields[6]?.[0]),
    attributes: attributesOf(fields[9]),
    status: Number(fieldsOf(bytes(fields[15]?.[0]))[3]?.[0] ?? 0),
  }
}
