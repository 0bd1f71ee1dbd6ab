import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RedisAddress } from '../../../../src/outbound/redis/connection/client.ts'
import {
  connectRedis,
  type ConnectionParts,
  type RedisConnection,
} from '../../../../src/outbound/redis/connection/connection.ts'
import { noCredentials, type CredentialsSource } from '../../../../src/outbound/redis/connection/credentials.ts'
import { until, type Closing } from '../../../support/broker.ts'

/** A deadline that is never reached where the server responds. */
export const ample = 10_000

/** A line of the log. */
export interface LogLine {
  readonly level: 'info' | 'warn'
  readonly fields: object
  readonly message: string
}

/** A connection to a server of a test, with what it reported. */
export interface Connected extends RedisConnection {
  readonly lines: readonly LogLine[]
  /** How often it was connected. */
  readonly times: () => number
  /** The reply to one command. */
  readonly one: (...command: readonly (string | Buffer)[]) => Promise<unknown>
}

/** Connects, and closes at the end of the test. Does not wait for the connection. */
export function connection(
  closing: Closing,
  address: Partial<RedisAddress>,
  credentials: CredentialsSource = noCredentials,
  parts: ConnectionParts = {},
): Connected {
  const lines: LogLine[] = []
  const log = {
    info: (fields: object, message: string) => void lines.push({ level: 'info', fields, message }),
    warn: (fields: object, message: string) => void lines.push({ level: 'warn', fields, message }),
  }
  const redis = connectRedis({ host: '127.0.0.1', port: 0, isEncrypted: false, ...address }, credentials, log, parts)
  closing.after(redis.close)
  let times = 0
  redis.onConnected(() => times++)
  return {
    ...redis,
    lines,
    times: () => times,
    one: async (...command) => (await redis.send([command]))[0],
  }
}

/** Waits until commands can be sent. */
export const connected = (redis: RedisConnection): Promise<void> => until('connected to Redis', redis.isConnected)

/** A file with this text, removed at the end. */
export async function fileWith(closing: Closing, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  closing.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'file')
  await writeFile(path, text)
  return path
}
