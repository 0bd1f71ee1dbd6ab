import { readLimitedFile } from '../../files/files.ts'

/** With what a connection authenticates. */
export interface RedisCredentials {
  /** Absent: the user `default`. */
  readonly username?: string | undefined
  /** A password, or an access token. */
  readonly password: string
}

/** Where the credentials of connections come from. */
export interface CredentialsSource {
  /** The credentials for a new connection; `undefined` if none are sent. Rejects with an `Error` if there are none now. */
  readonly get: () => Promise<RedisCredentials | undefined>
  /** Calls `listener` with credentials with which live connections must authenticate again. Absent if that never happens. */
  readonly onRenewed?: (listener: (credentials: RedisCredentials) => void) => void
  /** Ends what the source does in the background. */
  readonly close?: () => void
}

const maxPasswordBytes = 4096

/** No authentication. */
export const noCredentials: CredentialsSource = { get: () => Promise.resolve(undefined) }

/**
 * The password of a file, without the line end at its end. It is read for each new connection, so that a password is
 * changed without a restart: Redis closes no connection when a password is changed.
 */
export const passwordFile = (path: string, username: string | undefined): CredentialsSource => ({
  get: async () => {
    const password = (await readLimitedFile(path, maxPasswordBytes)).replace(/\r?\n$/, '')
    if (password === '') throw new Error(`${path} is empty`)
    return { username, password }
  },
})
