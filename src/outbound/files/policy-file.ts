import { hash } from 'node:crypto'
import type { Policy } from '../../broker/policy/model.ts'
import { maxPolicyBytes, parsePolicy } from '../../broker/policy/parse.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { readSettledFile } from './settled-file.ts'

/**
 * Reads and compiles the policy file.
 *
 * @param where the setting or flag that names the file; errors of reading it begin with this
 * @param known a policy that is returned unchanged if the file's text is still the same
 * @throws InvalidConfigurationError if the file cannot be read or the policy is invalid
 */
export async function loadPolicy(path: string, where = 'BROKER_POLICY_FILE', known?: Policy): Promise<Policy> {
  return loadText(path, where, readLimitedFile, known)
}

/**
 * The same as {@link loadPolicy} for a policy that becomes active: the file is read once it is complete.
 * @throws InvalidConfigurationError also if the file is still being written after 20 s
 */
export const loadSettledPolicy = (path: string, known?: Policy): Promise<Policy> =>
  loadText(path, 'BROKER_POLICY_FILE', readSettledFile, known)

async function loadText(
  path: string,
  where: string,
  read: typeof readLimitedFile,
  known: Policy | undefined,
): Promise<Policy> {
  let text: string
  try {
    text = await read(path, maxPolicyBytes)
  } catch (thrown) {
    throw new InvalidConfigurationError('The policy cannot be read', [{ where, what: messageOf(thrown) }])
  }
  return known !== undefined && hash('sha256', text, 'hex') === known.version ? known : parsePolicy(text)
}
