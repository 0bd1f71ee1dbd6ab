import { eventsChannel } from './names.ts'
import type { RedisCommand } from './connection/client.ts'

/** What replicas say to each other on the channel. Everything that is believed is sealed, so that it cannot be forged. */
export type Message =
  /** The lease of the token with this name has ended, and it was stored, as a rule. Not sealed: those who wait only look. */
  | { readonly type: 'stored'; readonly name: string }
  /** The fetch of the token with this name failed. `sealed` is the failure. */
  | { readonly type: 'failed'; readonly name: string; readonly sealed: Buffer }
  /** There is a new purge in the stream. Not sealed: replicas read the stream. */
  | { readonly type: 'purged' }
  /** A replica has applied a purge. */
  | { readonly type: 'confirmed'; readonly sealed: Buffer }
  /** A replica is live. */
  | { readonly type: 'heartbeat'; readonly sealed: Buffer }

const letters: Readonly<Record<Message['type'], string>> = {
  stored: 's',
  failed: 'f',
  purged: 'p',
  confirmed: 'c',
  heartbeat: 'h',
}
const types: ReadonlyMap<string, Message['type']> = new Map([
  [letters.stored, 'stored'],
  [letters.failed, 'failed'],
  [letters.purged, 'purged'],
  [letters.confirmed, 'confirmed'],
  [letters.heartbeat, 'heartbeat'],
])

/** A longer message is ignored. */
const maxMessageBytes = 4096
/** Names are HMAC-SHA256 in base64url. */
const nameLength = 43

/** The bytes of a message: one letter, then the name, then what is sealed. */
export function encodeMessage(message: Message): Buffer {
  const name = 'name' in message ? message.name : ''
  const sealed = 'sealed' in message ? message.sealed : Buffer.alloc(0)
  return Buffer.concat([Buffer.from(letters[message.type] + name, 'latin1'), sealed])
}

/** The command that sends a message to all replicas, this one included. */
export const publish = (message: Message): RedisCommand => ['PUBLISH', eventsChannel, encodeMessage(message)]

/** Reads a message; `undefined` if it is not one. */
export function decodeMessage(bytes: Buffer): Message | undefined {
  const type = bytes.length > maxMessageBytes ? undefined : types.get(bytes.toString('latin1', 0, 1))
  if (type === undefined) return undefined
  if (type === 'purged') return { type }
  if (type === 'confirmed' || type === 'heartbeat') return { type, sealed: bytes.subarray(1) }
  const name = bytes.toString('latin1', 1, 1 + nameLength)
  if (!/^[\w-]{43}$/.test(name)) return undefined
  return type === 'stored' ? { type, name } : { type, name, sealed: bytes.subarray(1 + nameLength) }
}
