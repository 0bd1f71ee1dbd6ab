import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parsePolicy } from '../../../src/broker/policy/file/parse.ts'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { loadPolicy, loadSettledPolicy } from '../../../src/outbound/files/policy-file.ts'
import { parsePolicyInThread } from '../../../src/outbound/files/policy-thread.ts'
import { graph, ids } from '../../support/callers.ts'
import { runs } from '../../support/runs.ts'

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const file = join(folder, 'policy.yaml')

/** A policy with so many tenants and rules, as people write it. */
function policyText(tenants: number, rules: number): string {
  const names = Array.from(
    { length: tenants },
    (_, nth) => `  tenant-${nth}: ${ids.home.slice(0, -6)}${100_000 + nth}\n`,
  )
  const texts = Array.from({ length: rules }, (_, nth) =>
    [
      `  - name: rule ${nth}`,
      `    callers: [{ issuer: onprem, subject: "system:serviceaccount:team-${nth}:*" }]`,
      `    tenants: [tenant-${nth}]`,
      `    scopes: ["${graph}"]\n`,
    ].join('\n'),
  )
  const issuers = 'issuers:\n  onprem: { issuer: https://kubernetes.example.internal, audiences: [token-broker] }\n'
  return `applications: { default: ${ids.application} }\ntenants:\n${names.join('')}${issuers}rules:\n${texts.join('')}`
}

/** Milliseconds of CPU time that this thread has used. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Runs something, and measures what this thread computes meanwhile in each turn of the event loop, in milliseconds. */
async function watchTurns<T>(run: () => Promise<T>): Promise<{ result: T; turns: readonly number[] }> {
  const turns: number[] = []
  let [last, isRunning] = [threadMs(), true]
  const turn = (): void => {
    const now = threadMs()
    turns.push(now - last)
    last = now
    if (isRunning) setTimeout(turn, 1)
  }
  turn()
  const result = await run()
  isRunning = false
  turn()
  return { result, turns }
}

/** 100,000 tenants and 10,000 rules in CI. */
const [tenantCount, ruleCount] = [runs(100_000), runs(10_000)]

describe('a policy of very many tenants and rules', () => {
  test('is read while the event loop goes on: no turn computes for 100 ms', async () => {
    await writeFile(file, policyText(tenantCount, ruleCount))
    const { result, turns } = await watchTurns(() => loadPolicy(file, 'x'))
    assert.equal(result.tenants.size, tenantCount)
    assert.equal(result.rules.length, ruleCount)
    const caller = { kind: 'jwt', issuer: 'onprem', subject: 'system:serviceaccount:team-7:x', claims: {} } as const
    assert.equal(result.index.rules(`${ids.home.slice(0, -6)}100007`, caller)[0]?.name, 'rule 7')
    assert.ok(turns.length > runs(100), `${turns.length} turns`)
    // At once, it would take seconds. One turn may be longer than all others: by a collection of the garbage that other tests
    // left in this process, or by a pause of a virtual machine, which the kernel counts as work of the running thread.
    const [longest = 0, next = 0] = turns.toSorted((a, b) => b - a)
    assert.ok(longest < 1000 && next < 100, `${longest} and ${next} ms in one turn`)
  })
})

describe('a large policy', () => {
  test('is the same as one that is parsed at once', async () => {
    const text = `${policyText(2500, 300)}deny: [{ tenants: [tenant-1] }]\napiKeys: { a: { sha256: ${'3c'.repeat(32)}, expires: 2999-01-01 } }\n`
    await writeFile(file, text)
    const [read, parsed] = [await loadPolicy(file, 'x'), parsePolicy(text)]
    for (const key of ['version', 'applications', 'tenants', 'issuers', 'apiKeys', 'warnings'] as const) {
      assert.deepEqual(read[key], parsed[key])
    }
    assert.equal(JSON.stringify(read.rules), JSON.stringify(parsed.rules))
    assert.deepEqual(read.denials, parsed.denials)
    assert.ok(Object.isFrozen(read) && Object.isFrozen(read.rules))
    assert.equal(await loadSettledPolicy(file, read), read)
  })

  const mistakes: readonly [change: (text: string) => string, subject: RegExp, where: RegExp, why: string][] = [
    [
      text => `${text}  - { name: rule 7, callers: [] }\n`,
      /^The policy is invalid/,
      /^rules\[300\]\.callers \(line/,
      'an error',
    ],
    [text => `${text}rules: [\n`, /^The policy is not valid YAML/, /^line \d+, column \d+$/, 'broken YAML'],
  ]
  for (const [change, subject, where, why] of mistakes) {
    test(`is refused with the place of ${why}`, async () => {
      await writeFile(file, change(policyText(2500, 300)))
      await assert.rejects(loadPolicy(file, 'x'), (thrown: unknown) => {
        assert.ok(thrown instanceof InvalidConfigurationError)
        assert.match(thrown.message, subject)
        assert.match(thrown.errors[0]?.where ?? '', where)
        return true
      })
    })
  }

  test('is refused if the thread does not end in time', async () => {
    await assert.rejects(parsePolicyInThread(policyText(2500, 300), 1), (thrown: unknown) => {
      assert.ok(thrown instanceof InvalidConfigurationError)
      assert.match(thrown.message, /^The policy cannot be read:\n {2}file: reading it took more than 0\.001 s$/)
      return true
    })
  })
})
