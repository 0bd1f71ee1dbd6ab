import type { Policy } from '../../broker/policy/model.ts'
import { maxPolicyBytes, parsePolicy, versionOf } from '../../broker/policy/file/parse.ts'
import { InvalidConfigurationError, messageOf } from '../../errors.ts'
import { readLimitedFile } from './files.ts'
import { parsePolicyInThread } from './policy-thread.ts'
import { readSettledFile } from './settled-file.ts'

/** Characters of the longest text that is parsed at once. It takes some ten milliseconds, as long as a thread takes to start. */
const maxAtOnce = 65_536

/**
 * Reads and compiles a policy file. A large one is parsed in another thread, so that the event loop is not blocked.
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
  if (known !== undefined && versionOf(text) === known.version) return known
  return text.length > maxAtOnce ? parsePolicyInThread(text) : parsePolicy(text)
}
