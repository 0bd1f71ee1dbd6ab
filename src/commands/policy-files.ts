import type { Policy } from '../broker/authorization/authorize.ts'
import { FaultsError, messageOf } from '../errors.ts'
import { ExitError, exitCodes } from '../exit.ts'
import { readLimitedFile } from '../outbound/files/files.ts'
import { loadPolicy } from '../outbound/files/policy-file.ts'

const maxFileBytes = 1024 * 1024

/** What every command about a policy can end with. */
export const policyExits = [
  [exitCodes.usage, 'wrong usage of this command'],
  [exitCodes.configuration, 'a file cannot be read or is faulty; every fault is listed'],
] as const

/**
 * The policy in a file.
 * @throws ExitError of `configuration` with every fault
 */
export const readPolicy = (file: string): Promise<Policy> => loadPolicy(file, file).catch(asExit)

/**
 * The text of a small file.
 * @throws ExitError of `configuration`
 */
export const readText = (file: string): Promise<string> =>
  readLimitedFile(file, maxFileBytes).catch((thrown: unknown) => {
    throw new ExitError(`${file}: ${messageOf(thrown)}`, exitCodes.configuration)
  })

/** @throws ExitError where a file is at fault, else what was thrown */
export function asExit(thrown: unknown): never {
  if (thrown instanceof FaultsError) throw new ExitError(thrown.message, exitCodes.configuration)
  throw thrown
}
