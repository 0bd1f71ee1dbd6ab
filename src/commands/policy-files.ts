import type { Policy } from '../broker/policy/model.ts'
import { InvalidConfigurationError, messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { readLimitedFile } from '../outbound/files/files.ts'
import { loadPolicy } from '../outbound/files/policy-file.ts'

const maxFileBytes = 1024 * 1024

/** The exit codes that all commands for a policy have in common. */
export const policyExits = [
  [exitCodes.usage, 'wrong usage of this command'],
  [exitCodes.configuration, 'a file is unreadable or invalid; all errors are listed'],
] as const

/**
 * Reads the policy of a file.
 * @throws ExitError with the exit code `configuration` and all errors
 */
export const readPolicy = (file: string): Promise<Policy> => loadPolicy(file, file).catch(asExit)

/**
 * Reads a text file of at most 1 MiB.
 * @throws ExitError with the exit code `configuration`
 */
export const readText = (file: string): Promise<string> =>
  readLimitedFile(file, maxFileBytes).catch((thrown: unknown) => {
    throw new ExitError(`${file}: ${messageOf(thrown)}`, exitCodes.configuration)
  })

/** @throws ExitError with the exit code `configuration` for a {@link InvalidConfigurationError}, and the same error otherwise */
export function asExit(thrown: unknown): never {
  if (thrown instanceof InvalidConfigurationError) throw new ExitError(thrown.message, exitCodes.configuration)
  throw thrown
}
