import type { JwtFacts } from '../src/broker/policy/caller-facts.ts'
import { measureForged } from './forged.ts'
import { decide } from '../src/broker/policy/decide.ts'
import type { TokenRequest, Policy } from '../src/broker/policy/model.ts'
import { parsePolicy } from '../src/broker/policy/file/parse.ts'

/**
 * `npm run bench:decisions` measures how many policy decisions fit into a second of CPU time, without any cache of
 * decisions, with 10 rules and tenants and with 10,000 of each. With 10,000 it also measures a thousand different
 * requests in turn, so that the data is no longer in the processor's cache; and denied requests of a caller that no rule
 * lists: its first request, and a loop of different ones. Each line is the median of three runs in this process.
 *
 * Then it measures how many forged tokens a broker can refuse before a legitimate caller gets slower (forged.ts).
 */

const scope = 'https://graph.microsoft.com/.default'
const id = (nth: number): string => `00000000-0000-4000-8000-${String(nth).padStart(12, '0')}`
const runs = 3
const runMs = 100
/** Decisions between two looks at the clock. */
const decisionsBetweenClockReadings = 50

interface Shape {
  readonly name: string
  /** The fields of the nth rule. */
  readonly rule: (nth: number, count: number) => object
  /** A caller and a tenant that the nth rule grants. */
  readonly caller: (nth: number, count: number) => Partial<JwtFacts>
  readonly tenant: (nth: number, count: number) => number
}

const subject = (nth: number): string => `system:serviceaccount:team-${nth}:worker`
const shapes: readonly Shape[] = [
  {
    name: 'one caller and one tenant per rule',
    rule: nth => ({ callers: [{ issuer: 'onprem', subject: subject(nth) }], tenants: [`t${nth}`] }),
    caller: nth => ({ subject: subject(nth) }),
    tenant: nth => nth,
  },
  {
    name: 'one role and all tenants per rule',
    rule: nth => ({ callers: [{ issuer: 'onprem', claims: { roles: `Role.${nth}` } }], tenants: '*' }),
    caller: nth => ({ claims: { roles: ['Other', `Role.${nth}`] } }),
    tenant: nth => nth,
  },
  {
    name: 'the same caller in every rule, a different tenant in each',
    rule: nth => ({ callers: [{ issuer: 'onprem', subject: 'worker' }], tenants: [`t${nth}`] }),
    caller: () => ({ subject: 'worker' }),
    tenant: nth => nth,
  },
  {
    name: 'the same tenant in every rule, a different caller in each',
    rule: nth => ({ callers: [{ issuer: 'onprem', subject: subject(nth) }], tenants: ['t0'] }),
    caller: nth => ({ subject: subject(nth) }),
    tenant: () => 0,
  },
  {
    name: 'a pattern for the caller, one tenant per rule',
    rule: nth => ({
      callers: [{ issuer: 'onprem', subject: `system:serviceaccount:team-${nth}:*` }],
      tenants: [`t${nth}`],
    }),
    caller: nth => ({ subject: subject(nth) }),
    tenant: nth => nth,
  },
  {
    name: 'a grid: each rule has one of √n callers and one of √n tenants',
    rule: (nth, count) => {
      const side = Math.round(Math.sqrt(count))
      return { callers: [{ issuer: 'onprem', subject: subject(nth % side) }], tenants: [`t${Math.floor(nth / side)}`] }
    },
    caller: (nth, count) => ({ subject: subject(nth % Math.round(Math.sqrt(count))) }),
    tenant: (nth, count) => Math.floor(nth / Math.round(Math.sqrt(count))),
  },
]

function policyOf(shape: Shape, count: number): Policy {
  return parsePolicy(
    JSON.stringify({
      applications: { default: id(1) },
      tenants: Object.fromEntries(Array.from({ length: count }, (_, nth) => [`t${nth}`, id(nth + 10)])),
      issuers: { onprem: { issuer: 'https://kubernetes.example', audiences: ['token-broker'] } },
      deny: [{ callers: [{ issuer: 'onprem', subject: 'denied' }] }],
      rules: Array.from({ length: count }, (_, nth) => ({
        name: `rule ${nth}`,
        scopes: [scope],
        ...shape.rule(nth, count),
      })),
    }),
  )
}

/** Measures denied requests per second of CPU time, for tenants in turn: of one caller, or each of another one. */
function measureDenied(shape: Shape, policy: Policy, isFirst: boolean): number {
  const count = policy.rules.length
  const stranger = (nth: number): JwtFacts => ({
    kind: 'jwt',
    issuer: 'onprem',
    subject: `stranger ${nth}`,
    claims: {},
  })
  const one = stranger(0)
  return rateOf(nth => {
    const tokenRequest = {
      tenant: `t${shape.tenant(nth % count, count)}`,
      scope,
      application: 'default',
      minExpiresIn: 0,
    }
    const { verdict } = decide(policy, isFirst ? stranger(nth) : one, tokenRequest, id(1))
    if (verdict !== 'denied') throw new Error(verdict)
  })
}

/** Measures decisions per second of CPU time, with `different` requests in turn. */
function measure(shape: Shape, policy: Policy, different: number): number {
  const count = policy.rules.length
  const requests = Array.from({ length: different }, (_, index) => {
    const nth = (index * 7919) % count
    const caller: JwtFacts = { kind: 'jwt', issuer: 'onprem', subject: 'x', claims: {}, ...shape.caller(nth, count) }
    const tokenRequest: TokenRequest = {
      tenant: `t${shape.tenant(nth, count)}`,
      scope,
      application: 'default',
      minExpiresIn: 0,
    }
    return { caller, tokenRequest }
  })
  return rateOf(nth => {
    const request = requests[nth % different]
    if (request && decide(policy, request.caller, request.tokenRequest, undefined).verdict === 'denied') {
      throw new Error(`${shape.name}: denied`)
    }
  })
}

/** How often a function runs in a second of CPU time: the median of the runs. */
function rateOf(act: (nth: number) => void): number {
  const rates = Array.from({ length: runs }, () => {
    let done = 0
    const begun = process.cpuUsage().user
    while (process.cpuUsage().user - begun < runMs * 1000) {
      for (let nth = 0; nth < decisionsBetweenClockReadings; nth++) act(done++)
    }
    return done / ((process.cpuUsage().user - begun) / 1e6)
  })
  return rates.toSorted((a, b) => a - b)[Math.floor(runs / 2)] ?? 0
}

const print = (line: string) => void process.stdout.write(`${line}\n`)
for (const shape of shapes) {
  for (const [count, ...differents] of [
    [10, 10],
    [10_000, 10, 1000],
  ] as const) {
    const policy = policyOf(shape, count)
    const report = (what: string, rate: number): void =>
      print(
        `${shape.name}: ${count} rules and tenants, ${what}: ${Math.round(rate).toLocaleString('en')} decisions/s ` +
          `(${(1_000_000 / rate).toFixed(2)} µs each)`,
      )
    for (const different of differents) report(`${different} requests in turn`, measure(shape, policy, different))
    report('denied, each of another caller', measureDenied(shape, policy, true))
    report('denied, all of one caller', measureDenied(shape, policy, false))
  }
}
await measureForged(print)
