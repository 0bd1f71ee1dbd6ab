import { isEntraIssuer, isGuid } from '../../../lib/identifiers.ts'
import { claimPath, patternError } from '../../patterns.ts'
import type { ReferenceCheck } from './references.ts'
import type { CallerText, Path, PolicyText, SchemaError } from '../schema.ts'

/** Validates the callers of rules and denials. */

/** Claims of the protocol that are the same in every token of an issuer, or differ in each token. */
const ofProtocol = 'iss aud tid ver exp iat nbf jti nonce idp auth_time acr amr'
/** Claims of Entra that say how a token was requested, or are opaque, but do not say who the caller is. */
const ofEntra = 'idtyp appidacr azpacr azp_ver aio rh uti xms_ftd xms_idrel xms_rd xms_tcdt'

/** Claims that do not distinguish one caller of an issuer from another. */
const commonClaims: readonly string[] = `${ofProtocol} ${ofEntra}`.split(' ')

/** The claims that say who a user is, or what the tenant's administrators made of them. Users cannot change any of them. */
const userClaims: readonly string[] = ['oid', 'sub', 'groups', 'roles', 'wids']
/** The claims with the client id of the application that requested a token. */
const clientClaims: readonly string[] = ['azp', 'appid']

/** Where a caller is listed. */
export interface CallerPlace {
  readonly at: Path
  /** Whether a rule grants something to it, so that it must not match every token of an issuer. */
  readonly isOfRule: boolean
  /** Whether that rule grants tokens. */
  readonly grantsTokens: boolean
}

/** The errors of one caller. */
export type CallerCheck = (caller: CallerText, place: CallerPlace) => readonly SchemaError[]

/** Checks the callers of a policy. */
export const callerCheckOf =
  ({ issuers = {} }: PolicyText, checkReference: ReferenceCheck): CallerCheck =>
  (caller, place) => {
    const { at, isOfRule } = place
    const kinds = [caller.issuer, caller.san, caller.apiKey].filter(kind => kind !== undefined)
    if (kinds.length !== 1) return [{ at, what: 'must have exactly one of issuer, san, apiKey' }]
    const errors: SchemaError[] = []
    if (caller.issuer === undefined && (caller.subject !== undefined || caller.claims !== undefined)) {
      errors.push({ at, what: 'must not have subject or claims without issuer' })
    }
    for (const [key, section] of [
      ['issuer', 'issuers'],
      ['apiKey', 'apiKeys'],
    ] as const) {
      const what = caller[key] === undefined ? undefined : checkReference(section, caller[key])
      if (what !== undefined) errors.push({ at: [...at, key], what })
    }
    for (const key of ['subject', 'san'] as const) {
      const what = caller[key] === undefined ? undefined : patternError(caller[key])
      if (what !== undefined) errors.push({ at: [...at, key], what })
    }
    errors.push(...validateClaims(caller, at))
    if (caller.delegated) return [...errors, ...validateDelegated(caller, place, issuers[caller.issuer ?? '']?.issuer)]
    if (isOfRule && caller.issuer !== undefined && !distinguishesCallers(caller)) {
      const what = 'would match every token of the issuer: add a subject, or a claim other than'
      errors.push({ at, what: `${what} ${commonClaims.join(', ')}` })
    }
    return errors
  }

function validateClaims(caller: CallerText, at: Path): readonly SchemaError[] {
  return Object.entries(caller.claims ?? {}).flatMap(([name, expected]) => {
    const here: Path = [...at, 'claims', name]
    if (!claimPath(name)) return [{ at: here, what: 'must be the name of a claim, or a JSON pointer (RFC 6901)' }]
    const what = typeof expected === 'string' ? patternError(expected) : undefined
    return what === undefined ? [] : [{ at: here, what }]
  })
}

/** Whether a caller of a rule has a subject, or a claim besides the {@link commonClaims}. */
const distinguishesCallers = ({ subject, claims }: CallerText): boolean =>
  subject !== undefined || Object.keys(claims ?? {}).some(name => !commonClaims.includes(claimPath(name)?.[0] ?? 'iss'))

/**
 * The errors of a caller with delegated tokens. In a rule it must name the client application too: any application to which
 * a user consents can get a delegated token for the broker's API.
 *
 * @param iss the `iss` of its issuer; `undefined` if the policy does not have that issuer
 */
function validateDelegated(
  caller: CallerText,
  { at, isOfRule, grantsTokens }: CallerPlace,
  iss: string | undefined,
): readonly SchemaError[] {
  const here: Path = [...at, 'delegated']
  if (caller.issuer === undefined) return [{ at: here, what: 'must not be set without issuer' }]
  const errors: SchemaError[] = []
  if (iss !== undefined && !isEntraIssuer(iss)) {
    errors.push({ at: here, what: 'is for issuers of Entra only: the broker knows no delegated tokens of others' })
  }
  if (!isOfRule) return errors
  if (grantsTokens) {
    const what = 'must not be in a rule that grants tokens: users get permissions only, by a rule of their own'
    errors.push({ at: here, what })
  }
  const claims = Object.entries(caller.claims ?? {})
  const isClient = ([name, value]: (typeof claims)[number]) =>
    isOneOf(name, clientClaims) && typeof value === 'string' && isGuid(value)
  if (!claims.some(isClient)) {
    const what = 'must name the client application, or any application with the consent of a user could act for them'
    errors.push({ at, what: `${what}: add the claim azp (v2.0 tokens) or appid (v1.0 tokens) with its client id` })
  }
  if (caller.subject === undefined && !claims.some(([name]) => isOneOf(name, userClaims))) {
    const what = 'would match every user of the client application: add a subject, or one of the claims'
    errors.push({ at, what: `${what} ${userClaims.join(', ')}` })
  }
  const isPattern = (value: unknown) => typeof value === 'string' && value.includes('*')
  if (isPattern(caller.subject) || claims.some(([, value]) => isPattern(value))) {
    errors.push({ at, what: 'must not have a pattern, because it is for users: list each value' })
  }
  return errors
}

/** Whether a claim is, or its JSON pointer leads to, one of these top-level claims. */
function isOneOf(name: string, names: readonly string[]): boolean {
  const [first, ...below] = claimPath(name) ?? []
  return first !== undefined && below.length === 0 && names.includes(first)
}
