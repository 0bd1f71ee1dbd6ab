import { generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'
import type { JWK } from 'jose'
import {
  createAdmission,
  createAuthenticate,
  type Authenticate,
  type Caller,
  type Issuer,
  type Verification,
} from '../../src/broker/authentication/authenticate.ts'
import { createCertificates } from '../../src/broker/authentication/client-certificates.ts'
import type { Clock } from '../../src/broker/lib/clock.ts'
import { fixedKeySet, type KeySet, parseKeys } from '../../src/broker/authentication/jwks.ts'
import { type Ask, authorize, type Grant, type Policy } from '../../src/broker/authorization/authorize.ts'
import { parsePolicy } from '../../src/broker/policy/parse.ts'
import { createSuspects } from '../../src/broker/authentication/failed-credential-limiter.ts'
import { movableClock, noon } from './clock.ts'

/** Made-up ids that tests share. */
export const ids = {
  application: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01',
  other: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a02',
  contoso: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c01',
  fabrikam: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c02',
  home: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c03',
} as const

export const graph = 'https://graph.microsoft.com/.default'
export const arm = 'https://management.azure.com/.default'

export type Json = Readonly<Record<string, unknown>>

/** A key pair of an issuer. Signing goes around jose, which would refuse to make most bad tokens. */
export interface SigningKey {
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The public half, with `kid`, as an issuer publishes it. */
  readonly jwk: JWK
}

function keyPair(alg: string, bits: number) {
  if (alg.startsWith('ES'))
    return generateKeyPairSync('ec', { namedCurve: alg.replace('ES', 'P-').replace('512', '521') })
  return alg.startsWith('Ed') ? generateKeyPairSync('ed25519') : generateKeyPairSync('rsa', { modulusLength: bits })
}

export function makeKey(alg = 'ES256', kid?: string, bits = 2048): SigningKey {
  const { privateKey, publicKey } = keyPair(alg, bits)
  const jwk: JWK = { ...publicKey.export({ format: 'jwk' }), ...(kid !== undefined && { kid }) }
  return { alg, privateKey, publicKey, jwk }
}

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

function signature(alg: string, key: KeyObject, input: string): Buffer {
  const data = Buffer.from(input)
  if (alg.startsWith('Ed')) return signBytes(null, data, key)
  const padding = alg.startsWith('PS') ? { padding: 6, saltLength: Number(alg.slice(2)) / 8 } : {}
  return signBytes(`sha${alg.slice(2)}`, data, { key, dsaEncoding: 'ieee-p1363', ...padding })
}

/** A JWS in compact form of any header and claims, however wrong. A header member that is `undefined` is left out. */
export function mint(key: SigningKey, claims: unknown, header: Json = {}): string {
  const input = `${encode({ alg: key.alg, kid: key.jwk.kid, typ: 'JWT', ...header })}.${encode(claims)}`
  return `${input}.${signature(key.alg, key.privateKey, input).toString('base64url')}`
}

export const onprem = 'https://kubernetes.example.internal'
export const entraIssuer = `https://login.microsoftonline.com/${ids.home}/v2.0`
export const audience = 'token-broker'

const at = (ms: number): number => Math.floor(ms / 1000)

/** Claims that are accepted for ten minutes. One that is `undefined` in `changes` is left out. */
export const goodClaims = (changes: Json = {}, now = noon): Json => ({
  iss: onprem,
  aud: audience,
  sub: 'system:serviceaccount:billing:worker',
  iat: at(now),
  nbf: at(now),
  exp: at(now) + 600,
  ...changes,
})

/** An issuer as the authentication takes it, whose keys never change. */
export const issuerWith = (keys: readonly JWK[] | KeySet, changes: Partial<Issuer> = {}): Issuer => ({
  name: 'onprem',
  issuer: onprem,
  audiences: [audience],
  keys: 'current' in keys ? keys : fixedKeySet(parseKeys({ keys })),
  ...changes,
})

/** A policy of its object form: JSON is YAML. */
export const policyOf = (policy: unknown): Policy => parsePolicy(JSON.stringify(policy))

/** A policy that grants nothing that is asked for. */
const idle = policyOf({
  applications: { default: ids.application },
  issuers: { nobody: { issuer: 'https://nobody.example', audiences: [audience] } },
  rules: [{ name: 'idle', callers: [{ issuer: 'nobody', subject: 'nobody' }], permissions: ['purge'] }],
})

/** Authentication by JWTs of some issuers, under one policy for ever. */
export function authenticator(
  issuers: readonly Issuer[],
  clock: Clock,
  verification?: Verification,
  policy = idle,
): Authenticate {
  const admission = createAdmission(policy, issuers)
  const certificates = createCertificates(() => undefined, clock)
  const suspects = createSuspects(clock, () => Promise.resolve())
  const recognised = { admission: () => admission, certificates, suspects, clock }
  return createAuthenticate({ ...recognised, ...(verification && { verification }) })
}

export type JwtCaller = Extract<Caller, { kind: 'jwt' }>

const callersKey = makeKey()
const issuers = [issuerWith([callersKey.jwk]), issuerWith([callersKey.jwk], { name: 'entra', issuer: entraIssuer })]

/** A caller with these claims, of the issuer `onprem` unless `iss` says {@link entraIssuer}: there is no way around a token. */
export async function callerWith(claims: Json = {}, policy = idle): Promise<JwtCaller> {
  const clock = movableClock()
  const token = mint(callersKey, goodClaims(claims, clock.now()))
  const caller = await authenticator(issuers, clock, undefined, policy)(token)
  if (caller.kind !== 'jwt') throw new Error('a JWT makes a caller of another kind')
  return caller
}

/** The same caller as if he had been authenticated under another policy. */
export const under = (policy: Policy, caller: JwtCaller): JwtCaller =>
  Object.assign(Object.create(Object.getPrototypeOf(caller) as object) as JwtCaller, caller, { policy })

/** The part of a policy that rules refer to. */
export const cast = {
  applications: { default: ids.application, other: ids.other },
  tenants: { contoso: ids.contoso, fabrikam: ids.fabrikam },
  issuers: {
    onprem: { issuer: onprem, audiences: [audience] },
    entra: { issuer: entraIssuer, audiences: [audience] },
  },
}

export const askFor = (changes: Partial<Ask> = {}): Ask => ({
  tenant: ids.contoso,
  scope: graph,
  application: 'default',
  minExpiresIn: 0,
  ...changes,
})

const everything = policyOf({
  ...cast,
  rules: [
    {
      name: 'everything',
      callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:*:worker' }],
      tenants: '*',
      scopes: [graph, arm],
      applications: ['default', 'other'],
    },
  ],
})
const worker = await callerWith()

/** A grant for any tenant but the home tenant, any application of {@link cast}, and {@link graph} or {@link arm}. */
export const grantFor = (changes: Partial<Ask> = {}, caller = worker): Grant =>
  authorize(everything, caller, askFor(changes), ids.home)
