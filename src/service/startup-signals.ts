/**
 * The command must load this module first. As the first process of a container, Node has no default handling of
 * signals: a SIGTERM that arrives while the other modules load, or while the settings are read, would be lost, and the
 * container would be killed at the end of its grace period. Since nothing is served yet, the process ends at once.
 */
const signals = ['SIGTERM', 'SIGINT'] as const

const stop = (): never => process.exit(0)

for (const signal of signals) process.on(signal, stop)

/**
 * SIGUSR1 makes Node open its inspector on a port of loopback. It asks for no credential, so every local process could
 * read tokens and keys through it. `--disable-sigusr1`, with which the image and the scripts start Node, covers the
 * whole life of the process; this handler covers a start without the flag, from here on. It is never removed.
 */
process.on('SIGUSR1', () => undefined)

/** Removes this module's handlers of the signals that stop the process. Must be called only once other handlers are in place. */
export function handOverSignals(): void {
  for (const signal of signals) process.off(signal, stop)
}
