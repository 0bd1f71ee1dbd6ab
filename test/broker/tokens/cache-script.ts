import * as fc from 'fast-check'
import type { Grant } from '../../../src/broker/authorization/authorize.ts'
import { BrokerError, type ErrorCode, type PartsOf } from '../../../src/errors.ts'
import { arm, callerWith, grantFor, graph, ids } from '../../support/callers.ts'
import type { CachedAs } from './cache-model.ts'

const callers = await Promise.all(
  ['a', 'b', 'c'].map(name => callerWith({ sub: `system:serviceaccount:${name}:worker` })),
)
export const keys = ['default', 'other'].flatMap(application =>
  [ids.contoso, ids.fabrikam].flatMap(tenant => [graph, arm].map(scope => ({ application, tenant, scope }))),
)
/** Keys × callers. */
export const grants: readonly (readonly Grant[])[] = keys.map(key => callers.map(caller => grantFor(key, caller)))

const failure = <Code extends ErrorCode>(code: Code, parts: PartsOf<Code>) => new BrokerError(code, 'failed', parts)
const unavailable = (retryAfter: number): readonly [Error, CachedAs] => {
  const retryAfterMs = Math.min(retryAfter, 300) * 1000
  const parts = { reason: 'server_error', ...(retryAfter > 0 && { retryAfter }) } as const
  const most = retryAfterMs + 30_000
  return [failure('upstream_unavailable', parts), { level: 'key', least: retryAfterMs, most, outage: true }]
}
/** How a fetch can fail, and for what the failure must be cached. */
export const failures: readonly (readonly [Error, CachedAs?])[] = [
  unavailable(0),
  unavailable(5),
  unavailable(86_400),
  // It is retried in the background for 30 s after its period.
  [failure('upstream_unavailable', { reason: 'timeout' }), { level: 'key', least: 5_000, most: 60_000, outage: true }],
  [
    failure('upstream_unavailable', { reason: 'throttled', retryAfter: 5 }),
    { level: 'key', least: 5_000, most: 35_000 },
  ],
  [
    failure('federation_misconfigured', { reason: 'federation' }),
    { level: 'application', least: 15_000, most: 30_000 },
  ],
  [failure('consent_required', { reason: 'consent' }), { level: 'tenant', least: 30_000, most: 60_000 }],
  [failure('upstream_rejected', { reason: 'request' }), { level: 'key', least: 30_000, most: 60_000 }],
  [failure('upstream_invalid', { reason: 'unreadable' }), { level: 'key', least: 30_000, most: 60_000 }],
  [failure('identity_unavailable', { reason: 'network' })],
  [failure('upstream_unavailable', { reason: 'circuit_open', retryAfter: 2 })],
  [new TypeError('a bug')],
]

/** Most steps are for a few keys, so that these are requested in every state. */
const mostlyFirst = fc.constantFrom(...keys.map((_, n) => n), 0, 0, 0, 0, 0, 0, 1, 1, 1, 1)

/** What can happen. */
export const steps = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        do: fc.constant('request' as const),
        key: mostlyFirst,
        caller: fc.nat(callers.length - 1),
        minExpiresIn: fc.constantFrom(0, 0, 0, 300, 1800),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('succeed' as const),
        which: fc.nat(100),
        expiresIn: fc.constantFrom(2, 60, 600, 3600, 3600, 3600, 86_400),
        refreshIn: fc.constantFrom(undefined, undefined, 30, 1800, 100_000),
        /** How much earlier the token's own `exp` is, in seconds. */
        earlier: fc.constantFrom(undefined, undefined, 0, 0, 0, 240, 100_000),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('fail' as const),
        which: fc.nat(100),
        how: fc.nat(failures.length - 1),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.constantFrom(
          1,
          900,
          5_000,
          16_000,
          61_000,
          300_000,
          600_000,
          1_800_000,
          2_700_000,
          3_540_000,
          90_000_000,
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('jump' as const), ms: fc.constantFrom(-7_200_000, -60_000, 60_000, 3e6) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('purge' as const),
        key: mostlyFirst,
        parts: fc.subarray(['clientId', 'tenant', 'scope'] as const),
      }),
    },
  ),
  { minLength: 10, maxLength: 100, size: 'max' },
)

export type Step = (typeof steps extends fc.Arbitrary<infer S> ? S : never)[number]
