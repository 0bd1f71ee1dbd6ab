import pino from 'pino'

/** Where log lines go. */
export interface LineSink {
  readonly write: (line: string) => void
  /** Writes the buffered lines, synchronously. */
  readonly flush: () => void
}

/**
 * Writes to a file descriptor, all lines of one turn of the event loop at once: at thousands of lines a second, a system
 * call for each would cost more than the rest of the request. No line waits longer than the turn, and `flush` is
 * synchronous, so that nothing is lost on exit.
 */
export function bufferedOutput(fd: number): LineSink {
  const destination = pino.destination({ dest: fd, sync: true })
  let buffered = ''
  const flush = (): void => {
    if (buffered === '') return
    const text = buffered
    buffered = ''
    destination.write(text)
  }
  return {
    write: line => {
      if (buffered === '') setImmediate(flush)
      buffered += line
    },
    flush,
  }
}
