/** One command with its arguments, such as `['GET', 'name']`. */
export type RedisCommand = readonly (string | Buffer)[]

/** A connection to Redis or Valkey that heals by itself. */
export interface RedisConnection {
  /**
   * Sends commands in one round trip, in one transaction (MULTI) when `atomic`. Resolves to one reply for each command, with
   * bulk strings as Buffers. An error reply of one command is an `Error` in its place; when `atomic`, no command is carried
   * out if one is refused before the transaction runs, and the promise rejects.
   *
   * Rejects when not connected, and after `deadlineMs`: the commands may still be carried out then.
   */
  readonly send: (
    commands: readonly RedisCommand[],
    deadlineMs: number,
    atomic?: boolean,
  ) => Promise<readonly unknown[]>
  /** Calls `listener` for each message of a channel, over a second connection. It subscribes again after a reconnect. */
  readonly subscribe: (channel: string, listener: (message: Buffer) => void) => void
  /** Calls `listener` after each connect of the first connection, once it can be used. */
  readonly onConnected: (listener: () => void) => void
  readonly isConnected: () => boolean
  /** Closes both connections. Nothing is reported afterwards. */
  readonly close: () => Promise<void>
}
