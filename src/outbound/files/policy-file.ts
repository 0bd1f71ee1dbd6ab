import type { Policy } from '../../broker/policy/model.ts'
import { maxPolicyBytes, parsePolicy, versionOf } from '../../broker/policy/parse.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { parsePolicyInThread } from './policy-thread.ts'

/** Characters of the longest text that is parsed at once. It takes some ten milliseconds, as long as a thread takes to start. */
const maxAtOnce = 65_536

/**
 * Reads and compiles the policy file. A large one is parsed in another thread, so that the event loop is not blocked.
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
  if (known !== undefined && versionOf(text) === known.version) return known
  return text.length > maxAtOnce ? parsePolicyInThread(text) : parsePolicy(text)
}
