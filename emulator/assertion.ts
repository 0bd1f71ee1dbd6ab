import type { JSONWebKeySet } from 'jose'
import type { Application, Directory } from './directory.ts'
import { EntraError } from './errors.ts'
import { decodeJws, type DecodedJws, verifyRs256 } from './jws.ts'

/**
 * Checks a client assertion against an application's federated credentials, as Entra does. All comparisons are exact
 * and case-sensitive. Throws an EntraError that says what is wrong.
 * @param now milliseconds
 */
export function checkAssertion(assertion: string, application: Application, directory: Directory, now: number): void {
  const jws = decodeJws(assertion)
  if (!jws || jws.header['alg'] !== 'RS256' || typeof jws.payload['exp'] !== 'number') throw new EntraError(50027)
  const issuer = String(jws.payload['iss'])
  matchCredential(jws, issuer, application)
  if (issuer === directory.homeIssuer && application.homeTenant !== directory.homeTenant) throw new EntraError(700236)
  checkSignature(jws, directory.keysOf(issuer))
  checkTime(jws, now)
}

function matchCredential(jws: DecodedJws, issuer: string, application: Application): void {
  const { federatedCredentials, clientId } = application
  const { sub, aud: audiences } = jws.payload
  // The tokens of Kubernetes have a list with one audience.
  const aud: unknown = Array.isArray(audiences) && audiences.length === 1 ? audiences[0] : audiences
  if (federatedCredentials.length === 0) throw new EntraError(70025, { client: clientId })
  const ofIssuer = federatedCredentials.filter(credential => credential.issuer === issuer)
  if (ofIssuer.length === 0) throw new EntraError(700211, { issuer })
  const ofSubject = ofIssuer.filter(credential => credential.subject === sub)
  if (ofSubject.length === 0) throw new EntraError(700213, { subject: String(sub) })
  if (!ofSubject.some(credential => credential.audience === aud))
    throw new EntraError(700212, { audience: String(aud) })
}

function checkSignature(jws: DecodedJws, keys: JSONWebKeySet | undefined): void {
  const key = keys?.keys.find(candidate => candidate.kid === jws.header['kid'])
  if (!key) throw new EntraError(50013)
  if (!verifyRs256(jws, key)) throw new EntraError(700027)
}

function checkTime(jws: DecodedJws, now: number): void {
  const until = Number(jws.payload['exp']) * 1000
  const from = Number(jws.payload['nbf'] ?? 0) * 1000
  if (now < until && now >= from) return
  throw new EntraError(700024, { now: instant(now), from: instant(from), until: instant(until) })
}

function instant(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
