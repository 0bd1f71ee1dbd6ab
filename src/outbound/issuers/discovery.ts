import { membersOf } from '../../broker/lib/json-members.ts'
import { addressError } from '../../broker/policy/file/validate.ts'
import type { FetchDocument } from '../../broker/events.ts'

/** An issuer's discovery document, of which nothing but the issuer is checked yet. */
export interface Discovered {
  readonly issuer: string
  readonly members: ReturnType<typeof membersOf>
}

/**
 * Fetches an issuer's discovery document (OpenID Connect Discovery 1.0 §4).
 * @throws Error if it names another issuer
 */
export async function discover(issuer: string, fetchDocument: FetchDocument): Promise<Discovered> {
  const document = await fetchDocument(new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`))
  const members = membersOf(document)
  if (members['issuer'] !== issuer) throw new Error(`the discovery document of ${issuer} names another issuer`)
  return { issuer, members }
}

/**
 * A URL in a discovery document.
 * @throws Error if it is absent, or not https although the issuer is, or one that the policy would not accept either
 */
export function urlIn({ issuer, members }: Discovered, name: string): string {
  const url = members[name]
  if (typeof url !== 'string') throw new Error(`the discovery document of ${issuer} has no ${name}`)
  if (issuer.startsWith('https:') && !url.startsWith('https:')) throw new Error(`the ${name} of ${issuer} is not https`)
  const problem = addressError(url)
  // Without its reason, which is about keys.
  if (problem !== undefined) throw new Error(`the ${name} of ${issuer} ${problem.split(',')[0]}`)
  return url
}
