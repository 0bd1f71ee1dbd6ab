import { hash } from 'node:crypto'
import type { Policy } from '../../broker/policy/model.ts'
import { maxPolicyBytes, parsePolicy } from '../../broker/policy/parse.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { readSettledFile } from './settled-file.ts'

/**
 * Reads and compiles a policy file.
 *
 * @param where the flag or argument that names the file; errors of reading it begin with this
 * @throws InvalidConfigurationError if the file cannot be read or the policy is invalid
 */
export const loadPolicy = (path: string, where: string): Promise<Policy> =>
  loadText(path, where, readLimitedFile, undefined)

/**
 * The same as {@link loadPolicy} for `BROKER_POLICY_FILE`, whose policy becomes active: it is read once it is complete.
 *
 * @param known a policy that is returned unchanged if the file's text is still the same
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
