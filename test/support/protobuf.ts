/** A number of a varint, or the bytes of any other value. */
export type Value = number | Buffer
/** Values by the number of their field. */
export type Fields = Readonly<Record<number, readonly Value[]>>

/** The fields of a message: numbers of varints, and the bytes of all others. */
export function fieldsOf(message: Buffer): Fields {
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

/** The bytes of a value; empty if it is absent. */
export const bytes = (value: Value | undefined): Buffer => (Buffer.isBuffer(value) ? value : Buffer.alloc(0))

/** Decodes `KeyValue`s with texts and whole numbers. */
export function attributesOf(pairs: readonly Value[] = []): Readonly<Record<string, string | number>> {
  return Object.fromEntries(
    pairs.map(pair => {
      const { 1: key, 2: value } = fieldsOf(bytes(pair))
      const { 1: text, 3: int } = fieldsOf(bytes(value?.[0]))
      return [bytes(key?.[0]).toString(), text ? bytes(text[0]).toString() : Number(int?.[0])]
    }),
  )
}
