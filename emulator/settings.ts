import type { FaultPoint } from './faults.ts'
import type { Settings } from './options.ts'
import { integer, member, members, oneOf, orNull, truth } from './validate.ts'

const day = 86_400

/** Checks a change of settings from outside; throws a TypeError that names what is wrong. */
export function parseSettings(value: unknown): Partial<Settings> {
  const given = members(value, 'settings', [
    'expiresIn',
    'refreshIn',
    'tokenVersion',
    'opaqueTokens',
    'identityTokenLife',
    'repeatIdentityToken',
    'latency',
  ])
  return {
    ...member(given, 'expiresIn', integer(0, day)),
    ...member(given, 'refreshIn', orNull(integer(0, day))),
    ...member(given, 'tokenVersion', orNull(oneOf([1, 2] as const))),
    ...member(given, 'opaqueTokens', truth),
    ...member(given, 'identityTokenLife', integer(0, day)),
    ...member(given, 'repeatIdentityToken', truth),
    ...member(given, 'latency', latency),
  }
}

function latency(value: unknown, at: string): Partial<Record<FaultPoint, number>> {
  const given = members(value, at, ['token', 'identity', 'discovery', 'callers'])
  const milliseconds = integer(0, 60_000)
  return {
    ...member(given, 'token', milliseconds),
    ...member(given, 'identity', milliseconds),
    ...member(given, 'discovery', milliseconds),
    ...member(given, 'callers', milliseconds),
  }
}
