import { membersOf, type Members } from '../lib/json-members.ts'
import type { CallerText, DenialText, IssuerText, PolicyText, RuleText } from './schema.ts'

/**
 * Reads what has the right shape out of a file that may not have it everywhere, so that what is wrong in meaning can be
 * told together with what is wrong in shape. Lists keep their length, so that indexes stay true.
 * The result is for checking only; it is never compiled.
 */
export function readLoosely(raw: unknown): PolicyText {
  const file = record(raw)
  return {
    applications: texts(file['applications']),
    tenants: texts(file['tenants']),
    issuers: mapValues(file['issuers'], issuerOf),
    apiKeys: mapValues(file['apiKeys'], keyOf),
    deny: list(file['deny']).map(denialOf),
    rules: list(file['rules']).map(ruleOf),
  }
}

const record = (value: unknown): Members => (Array.isArray(value) ? {} : membersOf(value))

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

const mapValues = <T>(value: unknown, map: (each: unknown) => T): Record<string, T> =>
  Object.fromEntries(Object.entries(record(value)).map(([key, each]) => [key, map(each)]))

const texts = (value: unknown): Record<string, string> => mapValues(value, text)

/** The keys of `value` that hold what `read` can read. */
function pick<K extends string, T>(value: Members, keys: readonly K[], read: (each: unknown) => T | undefined) {
  const picked: { [P in K]?: T } = {}
  for (const key of keys) {
    const each = read(value[key])
    if (each !== undefined) picked[key] = each
  }
  return picked
}

const pickTexts = <K extends string>(value: Members, keys: readonly K[]) =>
  pick(value, keys, each => (typeof each === 'string' ? each : undefined))

const pickLists = <K extends string>(value: Members, keys: readonly K[]) =>
  pick(value, keys, each => (Array.isArray(each) ? each.map(text) : undefined))

function issuerOf(raw: unknown): IssuerText {
  const issuer = record(raw)
  return {
    issuer: text(issuer['issuer']),
    audiences: list(issuer['audiences']).map(text),
    ...pickTexts(issuer, ['jwksUri', 'jwksFile', 'caFile']),
  }
}

function keyOf(raw: unknown): NonNullable<PolicyText['apiKeys']>[string] {
  const key = record(raw)
  const own = { sha256: text(key['sha256']), expires: text(key['expires']) }
  const next = record(key['next'])
  return key['next'] === undefined
    ? own
    : { ...own, next: { sha256: text(next['sha256']), expires: text(next['expires']) } }
}

function callerOf(raw: unknown): CallerText {
  const caller = record(raw)
  const claims = mapValues(caller['claims'], each => (typeof each === 'string' ? each : true))
  return {
    ...pickTexts(caller, ['issuer', 'subject', 'san', 'apiKey']),
    ...(caller['claims'] === undefined ? {} : { claims }),
  }
}

function denialOf(raw: unknown): DenialText {
  const denial = record(raw)
  return {
    ...pickLists(denial, ['tenants', 'scopes', 'applications']),
    callers: list(denial['callers']).map(callerOf),
  }
}

function ruleOf(raw: unknown): RuleText {
  const rule = record(raw)
  return {
    name: text(rule['name']),
    callers: list(rule['callers']).map(callerOf),
    ...pickLists(rule, ['tenants', 'scopes', 'applications']),
    ...(rule['tenants'] === '*' ? { tenants: '*' as const } : {}),
    ...(rule['permissions'] === undefined ? {} : { permissions: [] }),
  }
}
