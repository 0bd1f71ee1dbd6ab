import { decodeJwt, type JWTPayload } from 'jose'
import type { Assertion } from '../broker/events.ts'
import { comparable, guidsIn, isExchange } from '../broker/lib/identifiers.ts'
import type { IdentitySettings } from '../config/config.ts'
import { failed, ok, type Line, type Result } from './checks.ts'

/** The token of the identity, and what it says about itself. */
export interface IdentityFacts {
  readonly assertion: Assertion
  readonly claims: JWTPayload
  /** The audience that a federated credential must have for this token. */
  readonly audience: string
  /** The tenant of the identity, in lower case, if it is known. */
  readonly homeTenant: string | undefined
}

/**
 * Compares what the identity's token says about itself with what Entra needs. Its signature is not verified.
 *
 * @param now milliseconds since 1970; `undefined` if the clock is wrong, so that it says nothing about the token
 */
export function readClaims(
  assertion: Assertion,
  identity: IdentitySettings,
  now: number | undefined,
): Result<IdentityFacts> {
  const claims = decoded(assertion.token)
  if (claims === undefined) {
    return failed({
      text: 'the token of the identity is not a JWT',
      advice: 'Something else than the platform responds at IDENTITY_ENDPOINT.',
      fix: ['unset IDENTITY_ENDPOINT and IDENTITY_HEADER: the platform sets both'],
    })
  }
  const problem = identity.source === 'managed-identity' ? problemOf(claims, identity, now) : undefined
  if (problem) return { lines: [problem], value: undefined }
  const [aud = ''] = [claims.aud ?? ''].flat()
  const audience = identity.source === 'managed-identity' && isExchange(aud) ? identity.audience : aud
  const homeTenant =
    identity.source === 'managed-identity'
      ? (text(claims['tid'])?.toLowerCase() ?? guidsIn(claims.iss ?? '')[0])
      : identity.homeTenant
  return ok({ assertion, claims, audience, homeTenant }, `issuer ${claims.iss}, subject ${claims.sub}, audience ${aud}`)
}

function problemOf(
  { iss = '', aud, ver, exp = 0, ...others }: JWTPayload,
  { audience, clientId }: Extract<IdentitySettings, { source: 'managed-identity' }>,
  now: number | undefined,
): Line | undefined {
  const [received = ''] = [aud ?? ''].flat()
  const isSame = comparable(received) === comparable(audience) || guidsIn(audience).includes(received.toLowerCase())
  if (!isSame && !(isExchange(received) && isExchange(audience))) {
    return {
      status: 'failed',
      text: `the token of the identity is for ${received}, and not for ${audience} (BROKER_IDENTITY_AUDIENCE)`,
      advice: 'Something else than the platform responds at IDENTITY_ENDPOINT, or the audience is that of another API.',
      fix: [
        'unset BROKER_IDENTITY_AUDIENCE, IDENTITY_ENDPOINT and IDENTITY_HEADER: the first has a default, the platform sets the others',
      ],
    }
  }
  if (ver === '1.0' || !iss.endsWith('/v2.0')) {
    return {
      status: 'failed',
      text: `the token of the identity is a v1.0 token (issuer ${iss}), and Entra federates v2.0 tokens only`,
      ...(isExchange(audience) ? strangeEndpoint : ownAudience(audience)),
    }
  }
  const azp = text(others['azp']) ?? text(others['appid'])
  if (azp !== undefined && azp.toLowerCase() !== clientId.toLowerCase()) {
    return {
      status: 'failed',
      text: `the token is of another identity: its client id is ${azp}, and BROKER_IDENTITY_CLIENT_ID is ${clientId}`,
      fix: [`BROKER_IDENTITY_CLIENT_ID=${azp}   # if that is the identity of the federated credential`],
    }
  }
  if (now !== undefined && exp * 1000 <= now) {
    return {
      status: 'failed',
      text: `the token of the identity ended at ${new Date(exp * 1000).toISOString()}`,
      advice: 'The platform returns an old token.',
      fix: ['restart the replica'],
    }
  }
  return undefined
}

const strangeEndpoint = {
  advice: 'The platform issues v2.0 tokens for this audience: something else responds at IDENTITY_ENDPOINT.',
  fix: ['unset IDENTITY_ENDPOINT and IDENTITY_HEADER: the platform sets both'],
}

const ownAudience = (audience: string) => ({
  advice: `${audience} is an API of your own, whose registration asks for v1.0 tokens.`,
  fix: [
    'unset BROKER_IDENTITY_AUDIENCE: its default needs no registration',
    `az ad app update --id ${guidsIn(audience)[0] ?? 'API_CLIENT_ID'} --set api.requestedAccessTokenVersion=2   # or this`,
  ],
})

function decoded(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
