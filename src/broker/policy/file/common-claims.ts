import { claimPath } from '../patterns.ts'
import type { CallerText } from './schema.ts'

/** Claims of the protocol that are the same in every token of an issuer, or differ in each token. */
const ofProtocol = 'iss aud tid ver exp iat nbf jti nonce idp auth_time acr amr'
/** Claims of Entra that say how a token was requested, or are opaque, but do not say who the caller is. */
const ofEntra = 'idtyp appidacr azpacr azp_ver aio rh uti xms_ftd xms_idrel xms_rd xms_tcdt'

/** Claims that do not distinguish one caller of an issuer from another. */
export const commonClaims: readonly string[] = `${ofProtocol} ${ofEntra}`.split(' ')

/** Whether a caller of a rule has a subject, or a claim besides the {@link commonClaims}. */
export const distinguishesCallers = ({ subject, claims }: CallerText): boolean =>
  subject !== undefined || Object.keys(claims ?? {}).some(name => !commonClaims.includes(claimPath(name)?.[0] ?? 'iss'))
