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
import { createCertificateVerifier } from '../../src/broker/authentication/client-certificates.ts'
import type { Clock } from '../../src/broker/lib/clock.ts'
import { fixedJwks, type Jwks, parseJwks } from '../../src/broker/authentication/jwks.ts'
import type { TokenRequest, Policy } from '../../src/broker/policy/model.ts'
import { authorize, type Grant } from '../../src/broker/authorization/authorize.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { createSignatureLimiter } from '../../src/broker/authentication/signature-limiter.ts'
import { movableClock, noon } from './clock.ts'

/** Invented ids that tests share. */
export const ids = {
  application: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01',
  other: '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a02',
  contoso: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c01',
  fabrikam: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c02',
  home: '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c03',
} as const

/** Scopes of Microsoft Graph and of Azure Resource Manager. */
export const graph = 'https://graph.microsoft.com/.default'
export const arm = 'https://management.azure.com/.default'

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** A key pair of an issuer. Tests do not sign with jose, because it refuses to create most invalid tokens. */
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

/** Creates a key pair. `bits` is the length of an RSA key. Without `kid`, the public key has none. */
export function makeKey(alg = 'ES256', kid?: string, bits = 2048): SigningKey {
  const { privateKey, publicKey } = keyPair(alg, bits)
  const jwk: JWK = { ...publicKey.export({ format: 'jwk' }), ...(kid !== undefined && { kid }) }
  return { alg, privateKey, publicKey, jwk }
}

/** Base64url of a string, or of a value as JSON. */
export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

function signature(alg: string, key: KeyObject, input: string): Buffer {
  const data = Buffer.from(input)
  if (alg.startsWith('Ed')) return signBytes(null, data, key)
  const padding = alg.startsWith('PS') ? { padding: 6, saltLength: Number(alg.slice(2)) / 8 } : {}
  return signBytes(`sha${alg.slice(2)}`, data, { key, dsaEncoding: 'ieee-p1363', ...padding })
}

/** Creates a compact JWS of any header and claims, valid or not. A header field that is `undefined` is omitted. */
export function mint(key: SigningKey, claims: unknown, header: Json = {}): string {
  const input = `${encode({ alg: key.alg, kid: key.jwk.kid, typ: 'JWT', ...header })}.${encode(claims)}`
  return `${input}.${signature(key.alg, key.privateKey, input).toString('base64url')}`
}

/** The issuers and the audience of the callers' tokens. */
export const onprem = 'https://kubernetes.example.internal'
export const entraIssuer = `https://login.microsoftonline.com/${ids.home}/v2.0`
export const audience = 'token-broker'

const at = (ms: number): number => Math.floor(ms / 1000)

/** Claims that are accepted for ten minutes. A claim that is `undefined` in `changes` is omitted. */
export const goodClaims = (changes: Json = {}, now = noon): Json => ({
  iss: onprem,
  aud: audience,
  sub: 'system:serviceaccount:billing:worker',
  iat: at(now),
  nbf: at(now),
  exp: at(now) + 600,
  ...changes,
})

/** An issuer for the authentication, with keys that do not change. */
export const issuerWith = (keys: readonly JWK[] | Jwks, changes: Partial<Issuer> = {}): Issuer => ({
  name: 'onprem',
  issuer: onprem,
  audiences: [audience],
  keys: 'current' in keys ? keys : fixedJwks(parseJwks({ keys })),
  ...changes,
})

/** Parses a policy from an object (JSON is YAML). */
export const policyOf = (policy: unknown): Policy => parsePolicy(JSON.stringify(policy))

/** A policy that grants no tokens. */
const idle = policyOf({
  applications: { default: ids.application },
  issuers: { unused: { issuer: 'https://unused.example', audiences: [audience] } },
  rules: [{ name: 'idle', callers: [{ issuer: 'unused', subject: 'unused' }], permissions: ['purge'] }],
})

/** Authenticates JWTs of some issuers, under a policy that does not change. */
export function authenticator(
  issuers: readonly Issuer[],
  clock: Clock,
  verification?: Verification,
  policy = idle,
): Authenticate {
  const admission = createAdmission(policy, issuers)
  const certificates = createCertificateVerifier(() => undefined, clock)
  const signatures = createSignatureLimiter(clock)
  const parts = { admission: () => admission, certificates, signatures, clock }
  return createAuthenticate({ ...parts, ...(verification && { verification }) })
}

/** A caller that authenticated with a JWT. */
export type JwtCaller = Extract<Caller, { kind: 'jwt' }>

const callersKey = makeKey()
const issuers = [issuerWith([callersKey.jwk]), issuerWith([callersKey.jwk], { name: 'entra', issuer: entraIssuer })]

/** Authenticates a caller with these claims, and keeps all of them. Its issuer is `onprem` unless `iss` is {@link entraIssuer}. */
export async function callerWith(claims: Json = {}, policy = idle): Promise<JwtCaller> {
  const clock = movableClock()
  const all = goodClaims(claims, clock.now())
  const caller = await authenticator(issuers, clock, undefined, policy)(mint(callersKey, all))
  if (caller.kind !== 'jwt') throw new Error('the caller of a JWT has another kind')
  return Object.assign(Object.create(Object.getPrototypeOf(caller) as object) as JwtCaller, caller, { claims: all })
}

/** The same caller, authenticated under another policy. */
export const under = (policy: Policy, caller: JwtCaller): JwtCaller =>
  Object.assign(Object.create(Object.getPrototypeOf(caller) as object) as JwtCaller, caller, { policy })

/** The definitions of a policy to which rules refer. */
export const cast = {
  applications: { default: ids.application, other: ids.other },
  tenants: { contoso: ids.contoso, fabrikam: ids.fabrikam },
  issuers: {
    onprem: { issuer: onprem, audiences: [audience] },
    entra: { issuer: entraIssuer, audiences: [audience] },
  },
}

/** A request for {@link graph} in contoso, with changes. */
export const tokenRequest = (changes: Partial<TokenRequest> = {}): TokenRequest => ({
  tenant: ids.contoso,
  scope: graph,
  application: 'default',
  minExpiresIn: 0,
  ...changes,
})

const rule = {
  name: 'everything',
  callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:*:worker' }],
  tenants: '*',
  scopes: [graph, arm],
  applications: ['default', 'other'],
}
const everything = policyOf({ ...cast, rules: [rule] })
const worker = await callerWith()

/** A grant for any tenant except the home tenant, any application of {@link cast}, and {@link graph} or {@link arm}. */
export const grantFor = (changes: Partial<TokenRequest> = {}, caller = worker): Grant =>
  authorize(everything, caller, tokenRequest(changes), ids.home)

/** As {@link grantFor}, under a rule with this `exchangeLimit`. */
export const limitedGrant = (exchangeLimit: string): Grant =>
  authorize(policyOf({ ...cast, rules: [{ ...rule, exchangeLimit }] }), worker, tokenRequest(), ids.home)
