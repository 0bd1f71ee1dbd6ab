import type { FaultPoint } from './faults.ts'
import type { Settings } from './options.ts'
import { integer, field, fields, oneOf, orNull, truth } from './validate.ts'

const day = 86_400

/** Checks a change of settings of unknown shape. Throws a TypeError that says what is wrong. */
export function parseSettings(value: unknown): Partial<Settings> {
  const given = fields(value, 'settings', [
    'expiresIn',
    'refreshIn',
    'tokenVersion',
    'opaqueTokens',
    'identityTokenLife',
    'repeatIdentityToken',
    'latency',
    'clockAhead',
  ])
  return {
    ...field(given, 'expiresIn', integer(0, day)),
    ...field(given, 'refreshIn', orNull(integer(0, day))),
    ...field(given, 'tokenVersion', orNull(oneOf([1, 2] as const))),
    ...field(given, 'opaqueTokens', truth),
    ...field(given, 'identityTokenLife', integer(0, day)),
    ...field(given, 'repeatIdentityToken', truth),
    ...field(given, 'latency', latency),
    ...field(given, 'clockAhead', integer(-day, day)),
  }
}

function latency(value: unknown, at: string): Partial<Record<FaultPoint, number>> {
  const given = fields(value, at, ['token', 'identity', 'discovery', 'callers'])
  const milliseconds = integer(0, 60_000)
  return {
    ...field(given, 'token', milliseconds),
    ...field(given, 'identity', milliseconds),
    ...field(given, 'discovery', milliseconds),
    ...field(given, 'callers', milliseconds),
  }
}
