/**
 * The command must load this module first. As the first process of a container, Node has no default handling of
 * signals: a SIGTERM that arrives while the other modules load, or while the settings are read, would be lost, and the
 * container would be killed at the end of its grace period. Since nothing is served yet, the process ends at once.
 */
const signals = ['SIGTERM', 'SIGINT'] as const

const stop = (): never => process.exit(0)

for (const signal of signals) process.on(signal, stop)

/** Removes this module's signal handlers. Must be called only once other handlers are in place. */
export function handOverSignals(): void {
  for (const signal of signals) process.off(signal, stop)
}
