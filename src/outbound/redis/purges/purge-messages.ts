import { membersOf, membersOfJson } from '../../../broker/lib/json-members.ts'
import type { ReplicaReport } from '../../../broker/tokens/second-level.ts'
import { kinds, open, seal, type Kind } from '../sealing/envelope.ts'
import type { KeyRing } from '../sealing/key-ring.ts'
import type { Purge } from './purge-log.ts'

/** A replica's statement that it has applied a purge. */
export interface Confirmation {
  /** The purge's id. */
  readonly purge: string
  readonly replica: string
}

const maxTextLength = 512
const isId = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{1,64}$/.test(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value)
const isOptionalText = (value: unknown): value is string | undefined =>
  value === undefined || (typeof value === 'string' && value.length <= maxTextLength)

/** These texts are far below the limit of {@link seal}. */
const sealed = (ring: KeyRing, kind: Kind, content: string): Buffer => seal(ring, kind, '', content) ?? Buffer.alloc(0)
const opened = (ring: KeyRing, kind: Kind, value: Buffer): string => open(ring, kind, '', value) ?? ''

/** Seals a purge for the stream. */
export const sealPurge = (ring: KeyRing, purge: Purge): Buffer => sealed(ring, kinds.purge, JSON.stringify(purge))

/** Opens a purge of the stream; `undefined` if no key of the ring sealed it. */
export function openPurge(ring: KeyRing, value: Buffer): Purge | undefined {
  const { id, at, filter } = membersOfJson(opened(ring, kinds.purge, value))
  const { clientId, agentId, tenant, scope } = membersOf(filter)
  if (!isId(id) || typeof at !== 'number') return undefined
  if (!isOptionalText(clientId) || !isOptionalText(agentId)) return undefined
  if (!isOptionalText(tenant) || !isOptionalText(scope)) return undefined
  return {
    id,
    at,
    filter: {
      ...(clientId !== undefined && { clientId }),
      ...(agentId !== undefined && { agentId }),
      ...(tenant !== undefined && { tenant }),
      ...(scope !== undefined && { scope }),
    },
  }
}

/** Seals a confirmation for the channel. */
export const sealConfirmation = (ring: KeyRing, confirmation: Confirmation): Buffer =>
  sealed(ring, kinds.confirmation, JSON.stringify(confirmation))

/** Opens a confirmation; `undefined` if no key of the ring sealed it. */
export function openConfirmation(ring: KeyRing, value: Buffer): Confirmation | undefined {
  const { purge, replica } = membersOfJson(opened(ring, kinds.confirmation, value))
  return isId(purge) && isId(replica) ? { purge, replica } : undefined
}

/** Seals a heartbeat of a replica for the channel. */
export const sealHeartbeat = (ring: KeyRing, report: ReplicaReport): Buffer =>
  sealed(ring, kinds.heartbeat, JSON.stringify(report))

/** Opens a heartbeat; `undefined` if no key of the ring sealed it. */
export function openHeartbeat(ring: KeyRing, value: Buffer): ReplicaReport | undefined {
  const { replica, entries, fetching, atRisk } = membersOfJson(opened(ring, kinds.heartbeat, value))
  if (!isId(replica) || !isCount(entries) || !isCount(fetching) || !isCount(atRisk)) return undefined
  return { replica, entries, fetching, atRisk }
}
