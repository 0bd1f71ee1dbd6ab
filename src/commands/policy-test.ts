import { exitCodes } from '../exit.ts'
import type { Command } from './command.ts'
import { parseCases, runCases, type Cases } from './policy-cases.ts'
import { asExit, policyExits, readPolicy, readText } from './policy-files.ts'

/** `token-broker policy test`: compares what a policy decides with what a file of cases expects. */
export const policyTestCommand: Command = {
  name: 'policy test',
  takes: ['FILE', 'CASES'],
  about:
    'decide a table of asks and compare with what is expected. CASES is YAML: a list "cases" of\n' +
    '{ name, caller, tenant, scope, application, expect, rule } or { name, caller, permission, expect, rule }, where\n' +
    'expect is granted or denied, and name, application and rule may be left out; docs/policy.md shows one.',
  options: {},
  exits: [
    [exitCodes.stopped, 'every case came out as expected'],
    ...policyExits,
    [exitCodes.mismatch, 'a case came out otherwise'],
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
