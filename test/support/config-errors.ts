import assert from 'node:assert/strict'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'

/** The problems of an environment, one line each (`PORT: …`). Empty if it is valid. */
export function configurationErrorsOf(environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (thrown) {
    assert.ok(thrown instanceof InvalidConfigurationError)
    return thrown.errors.map(({ where, what }) => `${where}: ${what}`)
  }
}
