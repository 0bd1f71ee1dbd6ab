import { policyWarnings } from '../broker/policy/warnings.ts'
import { exitCodes } from '../exit.ts'
import type { Command } from './command.ts'
import { policyExits, readPolicy } from './policy-files.ts'

export const policyCheckCommand: Command = {
  name: 'policy check',
  takes: ['FILE'],
  about:
    'say what is wrong with a policy file, all of it, with line and column.\n' +
    'Reads nothing but FILE: files that it names may be elsewhere.',
  options: {},
  exits: [[exitCodes.stopped, 'the broker would load it'], ...policyExits],
  run: async ({ taken: [file = ''], out, now }) => {
    const policy = await readPolicy(file)
    const warnings = policyWarnings(policy, { now: now(), certificates: true })
    for (const warning of warnings) out(`warning: ${warning}\n`)
    const { rules, denials, issuers, apiKeys, version } = policy
    const counts = [`rules: ${rules.length}`, `denials: ${denials.length}`, `issuers: ${issuers.length}`]
    out(`${file} is good (${[...counts, `API keys: ${apiKeys.length}`].join(', ')})\nSHA-256 ${version}\n`)
    return exitCodes.stopped
  },
}
