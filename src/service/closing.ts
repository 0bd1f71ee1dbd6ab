/** A part that can be closed. */
interface Closeable {
  readonly close: () => void | Promise<void>
}

/** Closes a part if what follows fails: its connections would keep a process running that cannot start. */
export async function orClose<T>(following: () => T, part: Closeable | undefined): Promise<T> {
  try {
    return following()
  } catch (thrown) {
    await part?.close()
    throw thrown
  }
}

/** Closes one part after the other, so that each can still use those behind it. */
export async function closeInTurn(...parts: readonly (Closeable | undefined)[]): Promise<void> {
  for (const part of parts) await part?.close()
}
