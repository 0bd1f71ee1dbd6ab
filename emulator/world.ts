import type { Callers } from './callers.ts'
import type { Directory } from './directory.ts'
import type { FaultPoint, Faults } from './faults.ts'
import type { IdentityTokens } from './identity-tokens.ts'
import type { SigningKey } from './jws.ts'
import type { Settings } from './options.ts'
import type { Traffic } from './traffic.ts'

/** The state that all endpoints share. */
export interface World {
  /** `https://localhost:<port>` */
  readonly entraUrl: string
  /** `http://127.0.0.1:<port>` */
  readonly localUrl: string
  /** The value that the identity endpoint requires in `x-identity-header`. */
  readonly identityHeader: string
  readonly directory: Directory
  /** Signs both access tokens and identity tokens. */
  readonly entraKey: SigningKey
  readonly callers: Callers
  readonly identityTokens: IdentityTokens
  readonly faults: Faults
  readonly traffic: Traffic
  /** What requests at an endpoint wait for before anything else happens to them. */
  readonly holds: Map<FaultPoint, Promise<void>>
  /** The clock of Entra, in milliseconds since the epoch. */
  readonly now: () => number
  settings: Settings
}
