import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testFaults, type Planted } from './planted.ts'
import { idsOf, textOf, startDoctorWorld } from './world.ts'

const world = await startDoctorWorld()

test('with which all is well, nothing fails, nothing warns but that it is an emulator, and every tenant is probed', async t => {
  const report = await world.examine(t)
  assert.deepEqual([report.ok, report.first, idsOf(report, 'failed')], [true, null, []])
  assert.deepEqual(idsOf(report, 'warning'), ['settings.environment'])
  assert.match(textOf(report, 'settings.environment'), /BROKER_UNSAFE_AUTHORITY/)
  assert.equal(report.exchanges, 2)
  assert.match(textOf(report, 'consent.permissions'), /Organization\.Read\.All/)
})

const settingsRows: readonly Planted[] = [
  {
    fault: 'a variable that is invalid, and one that is missing',
    environment: { LOG_LEVEL: 'INFO', BROKER_IDENTITY_CLIENT_ID: '' },
    fails: ['settings.environment'],
    says: /LOG_LEVEL[\s\S]*must be one of|BROKER_IDENTITY_CLIENT_ID[\s\S]*is required/,
    skips: ['network.dns', 'identity.token', 'federation.credential', 'issuers.keys'],
  },
  {
    fault: 'a policy with an unknown key',
    policy: { ruls: [] },
    fails: ['settings.policy'],
    says: /unknown key[\s\S]*token-broker policy check \S+   # after/,
    skips: ['tenants.known', 'federation.credential', 'issuers.keys'],
  },
  {
    fault: 'no policy file',
    environment: { BROKER_POLICY_FILE: '/nowhere/policy.yaml' },
    fails: ['settings.policy'],
    says: /ENOENT[\s\S]*fix: |mount the policy file at \/nowhere/,
    skips: ['federation.credential'],
  },
  {
    fault: 'a policy that grants callers client assertions',
    environment: { BROKER_IDENTITY_AUDIENCE: 'api://30000000-0000-4000-8000-0000000000cc' },
    policy: {
      issuers: {
        emulator: { issuer: 'https://issuer.example', audiences: ['api://30000000-0000-4000-8000-0000000000cc'] },
      },
    },
    fails: ['settings.policy'],
    says: /issuers\.emulator\.audiences/,
  },
  {
    fault: '--tenant with a name that the policy does not have',
    tenant: 'contosso',
    fails: ['settings.tenant'],
    says: /no tenant of this name\n\ntoken-broker doctor --tenant contoso/,
    skips: ['tenants.known', 'federation.credential'],
    exchanges: 0,
  },
]

testFaults(world, settingsRows)
