/** What the process tells whoever started it. */
export const exitCodes = { stopped: 0, failed: 1, usage: 2, configuration: 3, listen: 4, mismatch: 5 } as const

/** A reason to end that is not a bug: a message for people, and the exit code. */
export class ExitError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.name = 'ExitError'
    this.exitCode = exitCode
  }
}
