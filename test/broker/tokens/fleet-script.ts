import * as fc from 'fast-check'
import { arm, grantFor, graph, ids } from '../../support/callers.ts'
import { leaseMs, heartbeatMs } from '../../support/memory-second-level.ts'

/** The keys of the properties of many replicas. */
export const grants = [ids.contoso, ids.fabrikam].flatMap(tenant =>
  [graph, arm].map(scope => grantFor({ tenant, scope })),
)
/** How many replicas there are. */
export const replicaCount = 3

const replica = fc.nat(replicaCount - 1)
const key = fc.constantFrom(0, 0, 0, 0, 1, 2, 3)
/** Selects one of the open exchanges, or one of the delayed responses of the store. */
const which = fc.nat(100)

/** What can happen. */
export const steps = fc.array(
  fc.oneof(
    {
      weight: 14,
      arbitrary: fc.record({
        do: fc.constant('request' as const),
        replica,
        key,
        minExpiresIn: fc.constantFrom(0, 0, 0, 0, 300, 1800),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('succeed' as const),
        which,
        expiresIn: fc.constantFrom(2, 60, 600, 3600, 3600, 3600, 86_400),
        refreshIn: fc.constantFrom(undefined, undefined, 30, 1800),
        isOpaque: fc.constantFrom(false, false, true),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('fail' as const), which }) },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.constantFrom(1, 900, leaseMs, heartbeatMs, 61_000, 300_000, 1_800_000, 2_700_000, 3_540_000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('jump' as const),
        replica,
        ms: fc.constantFrom(-7_200_000, -60_000, -1000, 1000, 60_000, 3_000_000),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('purge' as const),
        replica,
        key,
        parts: fc.subarray(['clientId', 'tenant', 'scope'] as const),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('cutOff' as const), replica }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('reconnect' as const), replica }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    // The store's responses are delayed from now on, or no longer; then all are delivered.
    { weight: 2, arbitrary: fc.record({ do: fc.constant('delay' as const), isDelayed: fc.boolean() }) },
    { weight: 12, arbitrary: fc.record({ do: fc.constant('deliver' as const), which }) },
  ),
  { minLength: 10, maxLength: 100, size: 'max' },
)

/** One of the things that can happen. */
export type Step = (typeof steps extends fc.Arbitrary<infer S> ? S : never)[number]
