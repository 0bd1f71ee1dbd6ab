import { policyWarnings } from '../broker/policy/file/warnings.ts'
import { exitCodes } from '../exit.ts'
import type { Command } from './command.ts'
import { policyExits, readPolicy } from './policy-files.ts'

/** `token-broker policy check`: reports every error and warning of a policy file. */
export const policyCheckCommand: Command = {
  name: 'policy check',
  takes: ['FILE'],
  about:
    'list all errors and warnings of a policy file, the errors with line and column.\n' +
    'It reads FILE only, and not the files that FILE names, which may be on another machine.',
  options: {},
  exits: [[exitCodes.stopped, 'the broker would load it'], ...policyExits],
  run: async ({ taken: [file = ''], out, now }) => {
    const policy = await readPolicy(file)
    const warnings = policyWarnings(policy, { now: now(), certificates: true })
    for (const warning of warnings) out(`warning: ${warning}\n`)
    for (const hint of policy.hints) out(`note: ${hint}\n`)
    const { rules, denials, issuers, apiKeys, version } = policy
    const counts = [`rules: ${rules.length}`, `denials: ${denials.length}`, `issuers: ${issuers.length}`]
    out(`${file} is valid (${[...counts, `API keys: ${apiKeys.length}`].join(', ')})\nSHA-256 ${version}\n`)
    return exitCodes.stopped
  },
}
