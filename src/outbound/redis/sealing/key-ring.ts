import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { InvalidConfigurationError, messageOf } from '../../../errors.ts'
import { openRegular, readInTime, readLimited } from '../../files/files.ts'
import { watchFiles } from '../../files/watch-files.ts'

/** One key of the ring, with the two keys that are derived from it. The key itself is not kept. */
export interface CacheKey {
  /** The key's id: it is written beside what the key encrypts. */
  readonly kid: string
  /** Encrypts and authenticates values: AES-256-GCM. */
  readonly sealing: KeyObject
  /** Makes names of keys: HMAC-SHA256. */
  readonly naming: KeyObject
}

/** The keys that replicas share, the newest first. The first one encrypts, all of them decrypt. */
export interface KeyRing {
  readonly keys: readonly [CacheKey, ...CacheKey[]]
}

/** The setting that errors name. */
const where = 'BROKER_CACHE_KEY_FILE'
const maxKeys = 10
const maxFileBytes = 4096
const keyBytes = 32
/** 32 random bytes have about 30 different values; fewer than 16 is less likely than one in 10^14. */
const leastDifferentBytes = 16
const linePattern = /^([a-z0-9]{1,16}):([A-Za-z0-9+/]{43}=)$/

/**
 * Reads the text of a key ring: lines `kid:key`, the newest first. A kid has 1 to 16 lower-case letters and digits; a key
 * is 32 random bytes in base64. `token-broker key cache` prints such a line.
 *
 * @throws Error that says which line is wrong, and never contains any of the text
 */
export function parseKeyRing(text: string): KeyRing {
  const lines = text.split(/\r?\n/)
  while (lines.at(-1) === '') lines.pop()
  if (lines.length > maxKeys) throw new Error(`must have at most ${maxKeys} keys; it has ${lines.length} lines`)
  const secrets = lines.map(parseLine)
  for (const [index, { kid, secret }] of secrets.entries()) {
    const before = secrets.slice(0, index)
    if (before.some(other => other.kid === kid)) throw new Error(`line ${index + 1} has the same id as another line`)
    if (before.some(other => other.secret.equals(secret)))
      throw new Error(`line ${index + 1} has the same key as another line`)
  }
  const [first, ...others] = secrets.map(derive)
  if (first === undefined) throw new Error('has no key; create one with: token-broker key cache')
  return Object.freeze({ keys: [first, ...others] as const })
}

interface Secret {
  readonly kid: string
  readonly secret: Buffer
}

function parseLine(line: string, index: number): Secret {
  const [, kid, base64] = linePattern.exec(line) ?? []
  if (kid === undefined || base64 === undefined) {
    throw new Error(
      `line ${index + 1} must be kid:key, with 1 to 16 lower-case letters and digits, and ${keyBytes} bytes in base64`,
    )
  }
  const secret = Buffer.from(base64, 'base64')
  // The last character has two unused bits.
  if (secret.toString('base64') !== base64) throw new Error(`line ${index + 1} is not canonical base64`)
  if (new Set(secret).size < leastDifferentBytes) throw new Error(`line ${index + 1} has a key that is not random`)
  return { kid, secret }
}

/** A key for each purpose, so that no bytes of one are ever an output of the other (RFC 5869). */
function derive({ kid, secret }: Secret): CacheKey {
  const subkey = (purpose: string): KeyObject =>
    createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', `token-broker shared cache 1 ${purpose}`, keyBytes)))
  return Object.freeze({ kid, sealing: subkey('values'), naming: subkey('names') })
}

interface KeyRingFile {
  readonly ring: KeyRing
  readonly text: string
  readonly warning: string | undefined
}

/** @throws InvalidConfigurationError if the file cannot be read in time, or is no key ring */
async function readKeyRing(path: string): Promise<KeyRingFile> {
  try {
    const { text, mode } = await readInTime(path, async () => {
      const file = await openRegular(path)
      try {
        return { mode: (await file.stat()).mode, text: await readLimited(file, path, maxFileBytes) }
      } finally {
        await file.close()
      }
    })
    return { ring: parseKeyRing(text), text, warning: warningOf(path, mode) }
  } catch (thrown) {
    throw new InvalidConfigurationError('The key ring cannot be used', [{ where, what: messageOf(thrown) }])
  }
}

/** Only a warning, because a Secret that Kubernetes mounts can be read by every user of its container by default. */
const warningOf = (path: string, mode: number): string | undefined =>
  (mode & 0o027) === 0
    ? undefined
    : `${where}: ${path} can be read or written by other users; run chmod 600, or set defaultMode: 0440 on a Secret`

/** The key ring of a file that may change. */
export interface FollowedKeyRing {
  /** The ring in use. It is the same object until the file changes. */
  readonly current: () => KeyRing
  /** A warning for the log if other users can read the file; `undefined` if they cannot. */
  readonly warning: string | undefined
  /**
   * Reads the file again when it may have changed. `changed` is called after a new ring was read; `failed` if it cannot be
   * used, and the last valid one stays in use then.
   */
  readonly watch: (changed: () => void, failed: (error: unknown) => void) => void
  readonly close: () => void
}

/**
 * Reads the key ring of a file, and follows its changes once `watch` is called.
 * @throws InvalidConfigurationError that names the setting and contains nothing of the file
 */
export async function followKeyRing(path: string): Promise<FollowedKeyRing> {
  const { warning, ...first } = await readKeyRing(path)
  let { ring, text } = first
  let close: (() => void) | undefined
  return {
    current: () => ring,
    warning,
    watch: (changed, failed) => {
      const reload = async (): Promise<void> => {
        const next = await readKeyRing(path)
        if (next.text === text) return
        text = next.text
        ring = next.ring
        changed()
      }
      close = watchFiles([path], () => void reload().catch(failed), failed).close
    },
    close: () => close?.(),
  }
}
