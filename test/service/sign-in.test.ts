import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { signInErrors } from '../../src/service/sign-in.ts'
import { managed } from '../support/settings.ts'

const policyWith = (...names: readonly string[]) =>
  parsePolicy(
    JSON.stringify({
      applications: { default: '30000000-0000-4000-8000-000000000001' },
      issuers: Object.fromEntries(names.map(name => [name, { issuer: `https://${name}.example`, audiences: ['a'] }])),
      apiKeys: { watch: { sha256: 'a'.repeat(64), expires: '2099-01-01' } },
      rules: [{ name: 'r', callers: [{ apiKey: 'watch' }], permissions: ['observe'] }],
    }),
  )

describe("the dashboard's issuer", () => {
  const clientId = { BROKER_DASHBOARD_CLIENT_ID: 'spa' }
  const rows: readonly (readonly [environment: Environment, issuers: readonly string[], error: RegExp | undefined])[] =
    [
      [{}, [], undefined],
      [{}, ['entra', 'k8s'], undefined],
      [clientId, ['entra'], undefined],
      [clientId, [], /^BROKER_DASHBOARD_CLIENT_ID has no effect, because the policy has no issuers$/],
      [clientId, ['entra', 'k8s'], /^BROKER_DASHBOARD_ISSUER is required .+ several issuers: entra, k8s$/],
      [{ ...clientId, BROKER_DASHBOARD_ISSUER: 'k8s' }, ['entra', 'k8s'], undefined],
      [{ ...clientId, BROKER_DASHBOARD_ISSUER: 'corp' }, ['entra'], /must be .+ of the policy: entra; got "corp"$/],
    ]
  for (const [environment, issuers, error] of rows)
    test(`${JSON.stringify(environment)} with ${issuers.length} issuers`, () => {
      const errors = signInErrors(readConfig({ ...managed, ...environment }), policyWith(...issuers))
      assert.equal(errors.length, error === undefined ? 0 : 1)
      if (error) assert.match(errors.map(({ where, what }) => `${where} ${what}`).join(), error)
    })
})
