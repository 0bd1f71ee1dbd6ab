import type { Clock } from '../../broker/lib/clock.ts'
import { isEntraIssuer } from '../../broker/lib/identifiers.ts'
import type { Members } from '../../broker/lib/json-members.ts'
import type { IssuerSettings } from '../../broker/policy/model.ts'
import type { SignIn, SignInServer } from '../../broker/sign-in.ts'
import { discover, urlIn } from './discovery.ts'
import { documentFetcher } from './document.ts'
import { readCa } from './issuer-keys.ts'
import type { Egress } from '../network/egress.ts'

/** Milliseconds after which metadata is fetched again, and after which a fetch that failed is repeated. */
const [freshMs, retryMs] = [3_600_000, 30_000]

/** What {@link createSignIn} needs. */
export interface SignInOptions {
  readonly clientId: string
  /** Without it: for Entra the `.default` of the issuer's first audience, for other issuers `openid` alone. */
  readonly scope: string | undefined
  /** The issuer in the active policy; `undefined` if the policy no longer has that issuer. */
  readonly issuer: () => IssuerSettings | undefined
  readonly egress: Egress
  readonly timeoutMs: number
  readonly clock: Clock
  /** Called when a fetch fails, unless the one before it failed too. */
  readonly failed: (error: unknown) => void
}

/** What is known of an issuer. */
interface Known {
  readonly key: string
  readonly server?: SignInServer
  readonly error?: unknown
  /** When it was fetched, or when the fetch failed. Monotonic. */
  readonly at: number
}

/**
 * Returns a function that says how people sign in; `undefined` if the policy does not have that issuer. It never waits: if the
 * issuer's metadata is unknown or old, it starts a fetch, at most one at a time and one in 30 s, and says what is known.
 */
export function createSignIn(options: SignInOptions): () => SignIn | undefined {
  let known: Known | undefined
  let fetching: string | undefined
  const refresh = async (issuer: IssuerSettings, key: string): Promise<void> => {
    fetching = key
    const at = options.clock.monotonic()
    try {
      known = { key, server: await fetchServer(issuer, options), at }
    } catch (error) {
      const before = known?.key === key ? known : undefined
      if (before?.error === undefined) options.failed(error)
      known = { ...before, key, error, at }
    }
    fetching = undefined
  }
  return () => {
    const issuer = options.issuer()
    if (issuer === undefined) return undefined
    const key = JSON.stringify(issuer)
    const current = known?.key === key ? known : undefined
    const age = options.clock.monotonic() - (current?.at ?? 0)
    const isOld = current === undefined || age >= (current.error === undefined ? freshMs : retryMs)
    if (isOld && fetching === undefined) void refresh(issuer, key)
    const { clientId, scope } = options
    return { issuer: issuer.issuer, clientId, scope: scopeOf(issuer, scope), server: current?.server }
  }
}

async function fetchServer(issuer: IssuerSettings, { egress, timeoutMs }: SignInOptions): Promise<SignInServer> {
  const ca = issuer.caFile === undefined ? undefined : await readCa(issuer.caFile)
  const signal = AbortSignal.timeout(timeoutMs)
  const discovered = await discover(issuer.issuer, documentFetcher({ egress, signal, ca }))
  const { members } = discovered
  return {
    issuer: issuer.issuer,
    authorization_endpoint: urlIn(discovered, 'authorization_endpoint'),
    token_endpoint: urlIn(discovered, 'token_endpoint'),
    ...texts(members, 'response_modes_supported'),
    ...texts(members, 'id_token_signing_alg_values_supported'),
    ...(members['authorization_response_iss_parameter_supported'] === true && {
      authorization_response_iss_parameter_supported: true,
    }),
  }
}

/** A list of short texts as a member of the same name; no member if it is something else. */
function texts(members: Members, name: string): Readonly<Record<string, readonly string[]>> {
  const value = members[name]
  const isList = Array.isArray(value) && value.length <= 50
  if (!isList || !value.every(text => typeof text === 'string' && text.length <= 100)) return {}
  return { [name]: value.map(String) }
}

/** With `openid`, so that the issuer's response names the sign-in that it is for. */
function scopeOf({ issuer, audiences }: IssuerSettings, scope: string | undefined): string {
  const wanted = scope ?? (isEntraIssuer(issuer) ? `${audiences[0]}/.default` : '')
  return [...new Set(['openid', ...wanted.split(' ').filter(part => part !== '')])].join(' ')
}
