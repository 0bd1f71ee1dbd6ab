import { exitCodes } from '../exit.ts'
import type { Command } from './command.ts'
import { parseCases, runCases, type Cases } from './policy-cases.ts'
import { asExit, policyExits, readPolicy, readText } from './policy-files.ts'

/** `token-broker policy test`: compares what a policy decides with what a file of cases expects. */
export const policyTestCommand: Command = {
  name: 'policy test',
  takes: ['FILE', 'CASES'],
  about:
    'decide a table of requests, and compare each decision with the expected one. CASES is YAML: a\n' +
    'list "cases" of { name, caller, tenant, scope, application, expect, rule } or\n' +
    '{ name, caller, permission, expect, rule }. "expect" is granted or denied; name, application and rule are optional.\n' +
    'docs/policy.md has an example.',
  options: {},
  exits: [
    [exitCodes.stopped, 'every decision is the expected one'],
    ...policyExits,
    [exitCodes.mismatch, 'at least one decision is not the expected one'],
  ],
  run: async ({ taken: [file = '', casesFile = ''], out, now }) => {
    const policy = await readPolicy(file)
    const outcomes = runCases(policy, await readCases(casesFile), now())
    for (const { name, wrong } of outcomes) out(wrong === undefined ? `ok    ${name}\n` : `FAIL  ${name}: ${wrong}\n`)
    const failed = outcomes.filter(({ wrong }) => wrong !== undefined).length
    out(`${outcomes.length} ${outcomes.length === 1 ? 'case' : 'cases'}, ${failed} failed\n`)
    return failed === 0 ? exitCodes.stopped : exitCodes.mismatch
  },
}

async function readCases(file: string): Promise<Cases> {
  const text = await readText(file)
  try {
    return parseCases(file, text)
  } catch (thrown) {
    return asExit(thrown)
  }
}
