import { AsyncLocalStorage } from 'node:async_hooks'
import { ManagedIdentityApplication } from '@azure/msal-node'
import type { Emulator } from '../../emulator/emulator.ts'

/**
 * MSAL reads the identity endpoint from the environment once per process and keeps what it made of it. Where several
 * test files share a process, each with its emulator, this makes MSAL read it once per emulator. A process with one
 * emulator has MSAL as it is.
 */

/** The emulator whose identity endpoint the running code requests. */
const current = new AsyncLocalStorage<Emulator>()
/** The emulator of the broker that started last, for what a test calls directly. */
let latest: Emulator | undefined
/** What MSAL made of the environment, by emulator. */
const sources = new Map<Emulator, unknown>()

/** Makes the environment, and MSAL in it, use the identity endpoint of an emulator that has started. */
export function useIdentityOf(emulator: Emulator): void {
  latest = emulator
  Object.assign(process.env, emulator.environment())
  sources.set(emulator, undefined)
  if (sources.size === 2) keepSourcePerEmulator()
}

/**
 * Starts a broker that uses the identity endpoint of an emulator. What it starts, such as a server or a timer, uses it
 * for as long as it lives.
 */
export function withIdentityOf<T>(emulator: Emulator, start: () => T): T {
  latest = emulator
  return current.run(emulator, start)
}

/** @throws if MSAL keeps its identity source elsewhere than in the version that this was written for */
function keepSourcePerEmulator(): void {
  const application = new ManagedIdentityApplication({ managedIdentityIdParams: { userAssignedClientId: 'none' } })
  const client: unknown = Reflect.get(application, 'managedIdentityClient')
  if (!(client instanceof Object)) throw new Error('MSAL has no managedIdentityClient')
  const emulatorNow = (): Emulator | undefined => current.getStore() ?? latest
  Object.defineProperty(client.constructor, 'identitySource', {
    get: () => {
      const emulator = emulatorNow()
      const source = emulator && sources.get(emulator)
      // Without a source, MSAL reads the environment next.
      if (emulator && source === undefined) Object.assign(process.env, emulator.environment())
      return source
    },
    set: (source: unknown) => {
      const emulator = emulatorNow()
      if (emulator) sources.set(emulator, source)
    },
  })
}
