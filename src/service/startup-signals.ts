/**
 * The first thing that the command loads. As the first process of a container, Node has no default handling of signals:
 * a SIGTERM while the other modules load, or while the settings are read, would be lost, and the container killed at the
 * end of its grace period. Nothing is served yet, so there is nothing to answer.
 */
const signals = ['SIGTERM', 'SIGINT'] as const

const stop = (): never => process.exit(0)

for (const signal of signals) process.on(signal, stop)

/** Leaves signals to whoever handles them from now on. */
export function handOverSignals(): void {
  for (const signal of signals) process.off(signal, stop)
}
