import { attributesOf, bytes, fieldsOf, type Value } from './protobuf.ts'

/** A metric as the receiver got it. */
export interface ReceivedMetric {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly type: 'gauge' | 'sum' | 'histogram'
  readonly isMonotonic: boolean
  readonly temporality: 'delta' | 'cumulative' | 'unspecified'
  readonly points: readonly ReceivedPoint[]
}

/** The value of one series. */
export interface ReceivedPoint {
  readonly attributes: Readonly<Record<string, string | number>>
  /** Of a histogram: the sum. */
  readonly value: number
  /** Of a histogram only. */
  readonly count: number
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
}

const temporalities = ['unspecified', 'delta', 'cumulative'] as const
const kinds = [
  [5, 'gauge'],
  [7, 'sum'],
  [9, 'histogram'],
] as const

/** Decodes a `Metric` (opentelemetry-proto, metrics/v1). */
export function metricOf(message: Buffer): ReceivedMetric {
  const fields = fieldsOf(message)
  const [name = '', description = '', unit = ''] = [1, 2, 3].map(field => bytes(fields[field]?.[0]).toString())
  const [field, type] = kinds.find(([each]) => each in fields) ?? [0, 'gauge']
  const data = fieldsOf(bytes(fields[field]?.[0]))
  return {
    name,
    description,
    unit,
    type,
    isMonotonic: data[3]?.[0] === 1,
    temporality: temporalities[Number(data[2]?.[0] ?? 0)] ?? 'unspecified',
    points: (data[1] ?? []).map(point => (type === 'histogram' ? histogramPoint(point) : numberPoint(point))),
  }
}

function numberPoint(message: Value): ReceivedPoint {
  const fields = fieldsOf(bytes(message))
  const [double, int] = [fields[4]?.[0], fields[6]?.[0]]
  const value = double === undefined ? integer(int) : bytes(double).readDoubleLE()
  return { attributes: attributesOf(fields[7]), value, count: 0, bounds: [], counts: [] }
}

function histogramPoint(message: Value): ReceivedPoint {
  const fields = fieldsOf(bytes(message))
  return {
    attributes: attributesOf(fields[9]),
    value: fields[5] === undefined ? 0 : bytes(fields[5][0]).readDoubleLE(),
    count: integer(fields[4]?.[0]),
    counts: packed(fields[6]).map(integer),
    bounds: packed(fields[7]).map(each => each.readDoubleLE()),
  }
}

const integer = (value: Value | undefined): number =>
  Buffer.isBuffer(value) ? Number(value.readBigInt64LE()) : (value ?? 0)

/** Values of eight bytes, which may be packed into one field. */
const packed = (values: readonly Value[] = []): readonly Buffer[] =>
  values.flatMap(value => {
    const all = bytes(value)
    return Array.from({ length: all.length / 8 }, (_, nth) => all.subarray(nth * 8, nth * 8 + 8))
  })
