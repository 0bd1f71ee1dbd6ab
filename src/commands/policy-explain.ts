import { hash } from 'node:crypto'
import { decodeJwt, type JWTPayload } from 'jose'
import {
  describeClaims,
  describeKey,
  describeNames,
  describeSomeClaims,
  type CallerDescription,
} from '../broker/authentication/describe-caller.ts'
import { explain, explainPermission, type Explanation } from '../broker/policy/explain.ts'
import { isGuid, scopeOrNamePattern, tenantPattern } from '../broker/lib/identifiers.ts'
import { isObject } from '../broker/lib/json-members.ts'
import type { Policy } from '../broker/policy/model.ts'
import { messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { columns, usage, type Command, type Input } from './command.ts'
import { policyExits, readPolicy, readText } from './policy-files.ts'

const name = 'policy explain'

/** `token-broker policy explain`: says which rule of a policy grants something, and why the others do not. */
export const policyExplainCommand: Command = {
  name,
  takes: ['FILE'],
  about:
    'show which rule of a policy grants a request of a caller, or for each rule the first\n' +
    'condition that does not match. A token is decoded, but not verified, so the output proves nothing about it.\n' +
    'Example: token-broker policy explain policy.yaml --api-key erp --tenant contoso \\\n' +
    '           --scope https://graph.microsoft.com/.default',
  options: {
    token: { type: 'string', value: 'FILE', help: 'the caller, by a file with its JWT or API key' },
    claims: {
      type: 'string',
      value: 'JSON',
      help: 'the caller, by claims of its JWT: iss, sub and those that rules name; aud and exp are not needed',
    },
    'api-key': { type: 'string', value: 'NAME', help: 'the caller, by the name of its API key in the policy' },
    san: {
      type: 'string',
      value: 'NAME',
      help: 'the caller, by a URI or DNS name of its client certificate',
    },
    tenant: { type: 'string', value: 'TENANT', help: 'the requested tenant, by id or by name' },
    scope: {
      type: 'string',
      value: 'SCOPE',
      help: 'the requested scope: <resource>/.default, or its name in the policy',
    },
    application: { type: 'string', value: 'NAME', help: 'the requested application; default "default"' },
    agent: { type: 'string', value: 'NAME', help: 'an agent identity in place of an application' },
    permission: { type: 'string', value: 'NAME', help: 'instead of tenant and scope, a permission: observe or purge' },
    'home-tenant': {
      type: 'string',
      value: 'ID',
      help: 'the id of the managed identity\'s own tenant, which "*" does not include',
    },
  },
  exits: [
    [exitCodes.stopped, 'the request is granted'],
    ...policyExits,
    [exitCodes.mismatch, 'the request is not granted, or the caller would not be authenticated'],
  ],
  run: async input => {
    const { options, out, now } = input
    const request = requestOf(options)
    const policy = await readPolicy(input.taken[0] ?? '')
    const { facts, refusals } = await callerOf(policy, options, now())
    const explanation =
      'permission' in request
        ? explainPermission(policy, facts, request.permission)
        : explain(policy, facts, request, textOf(options, 'home-tenant')?.toLowerCase())
    out(textOfExplanation(explanation, refusals))
    return explanation.granted && refusals.length === 0 ? exitCodes.stopped : exitCodes.mismatch
  },
}

type Options = Input['options']

const textOf = (options: Options, option: string): string | undefined => {
  const value = options[option]
  return typeof value === 'string' ? value : undefined
}

function requestOf(options: Options) {
  const permission = textOf(options, 'permission')
  const [tenant, scope] = [textOf(options, 'tenant'), textOf(options, 'scope')]
  if (permission !== undefined) {
    if (tenant !== undefined || scope !== undefined)
      throw usage('--permission cannot be combined with --tenant and --scope', name)
    if (permission !== 'observe' && permission !== 'purge')
      throw usage(`--permission must be observe or purge; got "${permission}"`, name)
    return { permission } as const
  }
  if (tenant === undefined || scope === undefined) throw usage('needs --tenant and --scope, or --permission', name)
  if (!wellFormed(tenantPattern, tenant)) throw usage(`--tenant must be an id or a name; got "${tenant}"`, name)
  if (!wellFormed(scopeOrNamePattern, scope))
    throw usage(`--scope must be <resource>/.default, or a name; got "${scope}"`, name)
  const [application, agent] = [textOf(options, 'application'), textOf(options, 'agent')]
  if (application !== undefined && agent !== undefined)
    throw usage('--agent cannot be combined with --application', name)
  const id = isGuid(tenant) ? tenant.toLowerCase() : tenant
  const client = { application: application ?? 'default', ...(agent !== undefined && { agent }) }
  return { tenant: id, scope, ...client, minExpiresIn: 0 }
}

const wellFormed = (pattern: string, text: string): boolean => new RegExp(`^${pattern}$`).test(text)

async function callerOf(policy: Policy, options: Options, now: number): Promise<CallerDescription> {
  const kinds = ['token', 'claims', 'api-key', 'san'] as const
  const [kind, ...others] = kinds.filter(each => options[each] !== undefined)
  if (kind === undefined || others.length > 0) {
    throw usage(`needs exactly one of ${kinds.map(each => `--${each}`).join(', ')}`, name)
  }
  const text = textOf(options, kind) ?? ''
  const credential = kind === 'token' ? (await readText(text)).trim() : ''
  try {
    if (kind === 'token') return describeCredential(policy, credential, now)
    if (kind === 'claims') return describeSomeClaims(policy, claimsOf(text), now)
    return kind === 'san' ? describeNames([text]) : describeKey(policy, text, now)
  } catch (thrown) {
    if (thrown instanceof ExitError) throw thrown
    throw new ExitError(`the caller would not be authenticated: ${messageOf(thrown)}`, exitCodes.mismatch)
  }
}

function describeCredential(policy: Policy, credential: string, now: number): CallerDescription {
  const sha256 = hash('sha256', credential, 'hex')
  const key = policy.apiKeys.find(each => each.sha256 === sha256)
  if (!key) return describeClaims(policy, decode(credential), now)
  const refusals = key.expiresAt <= now ? [`The API key has expired (${key.expires}).`] : []
  return { facts: { kind: 'apiKey', key: key.name, expires: key.expires }, refusals }
}

function decode(credential: string): JWTPayload {
  try {
    return decodeJwt(credential)
  } catch {
    throw new Error('the credential is neither a JWT in compact form nor an API key of the policy')
  }
}

function claimsOf(text: string): JWTPayload {
  let claims: unknown
  try {
    claims = JSON.parse(text)
  } catch {
    throw usage('--claims must be JSON', name)
  }
  if (!isObject(claims) || Array.isArray(claims)) throw usage('--claims must be a JSON object', name)
  return claims
}

function textOfExplanation({ summary, rules }: Explanation, refusals: readonly string[]): string {
  const rejections = refusals.map(refusal => `the caller would not be authenticated: ${refusal}\n`).join('')
  return `${rejections}${summary}\n\n${columns(rules.map(rule => [rule.name, rule.why]))}`
}
