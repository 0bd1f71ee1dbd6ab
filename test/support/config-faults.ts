import assert from 'node:assert/strict'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { FaultsError } from '../../src/errors.ts'

/** What is wrong with an environment: `PORT: "x" is …`, a line for each fault; nothing for a good one. */
export function faultsOf(environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof FaultsError)
    return thrown.faults.map(({ where, what }) => `${where}: ${what}`)
  }
}
