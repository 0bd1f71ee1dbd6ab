/** The exit codes of the process, which `--help` explains. */
export const exitCodes = {
  stopped: 0,
  failed: 1,
  usage: 2,
  configuration: 3,
  listen: 4,
  mismatch: 5,
  unwell: 6,
  refused: 7,
  unavailable: 8,
} as const

/** An error that ends the process and is not a bug. It has a message for people, and the exit code. */
export class ExitError extends Error {
  /** One of {@link exitCodes}. */
  readonly exitCode: number

  /** @param message for people, without the name of the program */
  constructor(message: string, exitCode: number) {
    super(message)
    this.name = 'ExitError'
    this.exitCode = exitCode
  }
}
