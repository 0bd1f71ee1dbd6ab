import pino, { type Logger, type LoggerOptions } from 'pino'
import { redactCredentials } from '../broker/lib/text/credential-shapes.ts'
import { escapeControls } from '../broker/lib/text/quoted.ts'
import { BrokerError, codeOf } from '../errors.ts'
import type { LineSink } from './output.ts'

/** The loggers of the process. Both write JSON lines to the same sink, through the same scrubber. */
export interface Logs {
  /** For people: starts, stops, errors. */
  readonly log: Logger
  /** For the audit log: one line for each decision. Its fields are chosen one by one, so it needs no redaction by path. */
  readonly audit: Logger
  /** For audit lines that are written without a logger. */
  readonly scrub: Scrub
}

/** Removes credentials from a finished line. */
export type Scrub = (line: string) => string

const redactedPaths = ['authorization', 'access_token', 'client_assertion', 'assertion', 'token', 'secret'].flatMap(
  name => [name, `*.${name}`, `*.*.${name}`],
)
const maxTextLength = 500
const maxStackLength = 2000
const maxCauses = 3

/**
 * Creates the loggers of the process.
 *
 * @param level the least level of lines of {@link Logs.log}
 * @param secrets exact texts that must never appear, such as `IDENTITY_HEADER`
 */
export function createLogs(level: string, sink: LineSink, secrets: readonly string[]): Logs {
  const scrub = scrubber(secrets)
  const stream = { write: (line: string) => sink.write(escapeControls(scrub(line))) }
  const common: LoggerOptions = {
    level,
    base: null,
    timestamp,
    formatters: { level: label => ({ level: label }) },
    serializers: { err: describeError },
  }
  return {
    log: pino({ ...common, redact: { paths: redactedPaths, censor: '[redacted]' } }, stream),
    // The audit log does not depend on LOG_LEVEL.
    audit: pino({ ...common, level: 'info' }, stream),
    scrub,
  }
}

/**
 * Replaces every JWT, every API key and each secret in a finished line. This is the last guard; it also covers texts
 * from a library or an upstream inside an error.
 */
export function scrubber(secrets: readonly string[]): Scrub {
  const written = secrets.filter(secret => secret !== '').map(secret => JSON.stringify(secret).slice(1, -1))
  return line => {
    let clean = redactCredentials(line)
    for (const secret of written) if (clean.includes(secret)) clean = clean.replaceAll(secret, '[redacted]')
    return clean
  }
}

let timestampAt = 0
let timestampText = ''

/** The line's time as a JSON field with a leading comma, in ISO 8601, formatted once per millisecond. */
export function timestamp(): string {
  const now = Date.now()
  if (now !== timestampAt) {
    timestampAt = now
    timestampText = `,"time":"${new Date(now).toISOString()}"`
  }
  return timestampText
}

/** A text without credentials, cut to a length. A credential that is cut first could not be recognised any more. */
const cut = (text: string, length: number): string => redactCredentials(text).slice(0, length)

/** An error for the log: texts cut to a length, its causes, and a stack unless it is a {@link BrokerError}. */
export const describeError = (thrown: unknown): Readonly<Record<string, unknown>> => ({
  ...describeCause(thrown),
  ...(thrown instanceof Error &&
    !(thrown instanceof BrokerError) && { stack: cut(thrown.stack ?? '', maxStackLength) }),
})

/** The causes of an expected failure: names, codes and messages, without stacks. */
export function describeCause(thrown: unknown, depth = 0): Readonly<Record<string, unknown>> {
  if (!(thrown instanceof Error)) return { message: cut(String(thrown), maxTextLength) }
  const code = codeOf(thrown)
  return {
    name: thrown.name,
    ...(code !== undefined && { code }),
    message: cut(thrown.message, maxTextLength),
    ...(thrown instanceof AggregateError &&
      depth < maxCauses && { errors: thrown.errors.slice(0, maxCauses).map(each => describeCause(each, depth + 1)) }),
    ...(thrown.cause !== undefined && depth < maxCauses && { cause: describeCause(thrown.cause, depth + 1) }),
  }
}
