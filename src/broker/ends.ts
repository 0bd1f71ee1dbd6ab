import { endsSoonDays } from './policy/file/entries/api-keys.ts'
import type { Policy } from './policy/model.ts'

/** What has an end: an API key of the policy, a certificate of the TLS server, or one of a client CA. */
export const endKinds = ['api_key', 'tls', 'client_ca'] as const
/** One of {@link endKinds}. */
export type EndKind = (typeof endKinds)[number]

/** When a key or certificate ends. */
export interface End {
  readonly kind: EndKind
  /** The name of the key in the policy, or the subject of the certificate. Several ends may have the same one. */
  readonly name: string
  /** From when on it is not accepted, in milliseconds since 1970. */
  readonly endsAt: number
  /** The file of a certificate. */
  readonly file?: string
}

/** Every {@link EndState}. */
export const endStates = ['valid', 'ends_soon', 'ended'] as const
/** `ends_soon`: it ends within {@link endsSoonDays} days. */
export type EndState = (typeof endStates)[number]

const endsSoonMs = endsSoonDays * 86_400_000

/** The state of a key or certificate. Both times are in milliseconds since 1970. */
export function endState(endsAt: number, now: number): EndState {
  if (endsAt <= now) return 'ended'
  return endsAt - now < endsSoonMs ? 'ends_soon' : 'valid'
}

/** The ends of a policy's API keys, in the order of the file. A key that is being replaced has two. */
export const apiKeyEnds = ({ apiKeys }: Pick<Policy, 'apiKeys'>): readonly End[] =>
  apiKeys.map(({ name, expiresAt }) => ({ kind: 'api_key', name, endsAt: expiresAt }))

/** At most so many ends of a kind are reported. */
export const maxEnds = 100

/**
 * The ends that are nearest to now, before or after it, at most {@link maxEnds}: what has just ended and what will end
 * next come first, and what ended long ago hides neither.
 */
export const nearestEnds = (ends: readonly End[], now: number): readonly End[] =>
  ends.toSorted((a, b) => Math.abs(a.endsAt - now) - Math.abs(b.endsAt - now)).slice(0, maxEnds)
