import { hash } from 'node:crypto'
import type { Policy } from '../../broker/policy/model.ts'
import { maxPolicyBytes, parsePolicy } from '../../broker/policy/parse.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'

/**
 * Reads and compiles the policy file.
 *
 * @param where the setting or flag that names the file; errors of reading it begin with this
 * @param known a policy that is returned unchanged if the file's text is still the same
 * @throws InvalidConfigurationError if the file cannot be read or the policy is invalid
 */
export async function loadPolicy(path: string, where = 'BROKER_POLICY_FILE', known?: Policy): Promise<Policy> {
  let text: string
  try {
    text = await readLimitedFile(path, maxPolicyBytes)
  } catch (thrown) {
    throw new InvalidConfigurationError('The policy cannot be read', [{ where, what: messageOf(thrown) }])
  }
  return known !== undefined && hash('sha256', text, 'hex') === known.version ? known : parsePolicy(text)
}
