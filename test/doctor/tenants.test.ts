import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { aadsts, only, testFaults, type Planted } from './planted.ts'
import {
  disabledIn,
  foreignApplication,
  idsOf,
  manyTenants,
  rule,
  textOf,
  unassignedIn,
  unconsentedRoles,
  usGov,
  startDoctorWorld,
} from './world.ts'

const world = await startDoctorWorld()
const { emulator } = world

const strange = '40000000-0000-4000-8000-0000000000ff'

const tenantRows: readonly Planted[] = [
  {
    fault: 'a tenant that does not exist',
    policy: only(strange),
    fails: ['tenants.known'],
    says: /only\n[\s\S]*AADSTS90002[\s\S]*does not exist at/,
    skips: ['consent.token'],
    exchanges: 0,
  },
  {
    fault: 'a tenant in another cloud',
    policy: only(usGov),
    fails: ['tenants.known'],
    says: /in another cloud: its token endpoint is at https:\/\/login\.microsoftonline\.us/,
    exchanges: 0,
  },
  {
    fault: 'no service principal',
    policy: only(sample.tailspin),
    fails: ['consent.token'],
    says: /AADSTS7000229[\s\S]*\n\S+\/40000000-0000-4000-8000-000000000003\/adminconsent\?client_id=30000000-0000-4000-8000-000000000001$/,
  },
  {
    fault: 'one tenant that does not know the application (AADSTS700016)',
    policy: only(sample.contoso),
    plant: aadsts(700016),
    fails: ['consent.token'],
    says: /AADSTS700016[\s\S]*adminconsent/,
  },
  {
    fault: 'a disabled service principal',
    policy: only(disabledIn),
    fails: ['consent.token'],
    says: /AADSTS7000112[\s\S]*az ad sp update --id \S+ --set accountEnabled=true/,
  },
  {
    fault: 'a role that is required',
    policy: only(unassignedIn),
    fails: ['consent.token'],
    says: /AADSTS501051[\s\S]*adminconsent/,
  },
  {
    fault: 'Conditional Access',
    plant: aadsts(53003),
    fails: ['consent.token'],
    says: /AADSTS53003[\s\S]*Conditional Access/,
  },
  {
    fault: 'a resource that the tenant does not have',
    policy: { rules: [rule({ scopes: ['https://unknown.example/.default'] })] },
    fails: ['consent.token'],
    says: /AADSTS500011/,
  },
  {
    fault: 'Entra with a server error',
    plant: e => e.fault({ kind: 'server-error', at: 'token' }),
    fails: ['consent.token'],
    says: /HTTP 503|Azure's status page/,
    exchanges: 1,
  },
  {
    fault: 'Entra that issues the token of another tenant',
    plant: e => e.fault({ kind: 'wrong-tenant', at: 'token' }),
    fails: ['consent.token'],
    says: /for another tenant[\s\S]*act at once/,
  },
]

testFaults(world, tenantRows)

describe('consent', () => {
  test('a token without permissions is a warning', async t => {
    const report = await world.examine(t, { policy: only(unconsentedRoles) })
    assert.equal(report.ok, true)
    assert.match(textOf(report, 'consent.permissions'), /no permissions \(no claim roles\)[\s\S]*adminconsent/)
    assert.ok(idsOf(report, 'warning').includes('consent.permissions'))
  })

  test('Azure Resource Manager needs none, and an opaque token cannot be read', async t => {
    const scopes = ['https://management.azure.com/.default']
    const ofAzure = await world.examine(t, {
      policy: { ...only(unconsentedRoles), rules: [rule({ scopes })] },
    })
    assert.ok(idsOf(ofAzure, 'skipped').includes('consent.permissions'))
    emulator.configure({ opaqueTokens: true })
    assert.match(textOf(await world.examine(t), 'consent.permissions'), /cannot be read/)
  })

  test('what fails for one tenant does not keep the others from being checked', async t => {
    const tenants = { tailspin: sample.tailspin, contoso: sample.contoso }
    const report = await world.examine(t, { policy: { tenants } })
    assert.deepEqual(idsOf(report, 'failed'), ['consent.token'])
    const lines = report.checks
      .filter(({ id }) => id === 'consent.token')
      .map(({ subject, status }) => `${subject} ${status}`)
    assert.deepEqual(lines, ['tailspin, default failed', 'contoso, default ok'])
    assert.match(textOf(report, 'federation.credential'), /accepts the federated credential/)
  })
})

describe('which tokens are requested', () => {
  test('tokens for which no time is left are not requested, and that is a failure', async t => {
    const requested = () => emulator.counts().endpoints.token.total
    const before = requested()
    // Once a token was requested, days have passed.
    const monotonic = (): number => performance.now() + (requested() > before ? 1e9 : 0)
    const report = await world.examine(t, { clock: { now: Date.now, monotonic } })
    const lines = report.checks.filter(({ id }) => id === 'consent.token')
    assert.deepEqual(
      lines.map(({ subject, status }) => `${subject} ${status}`),
      ['contoso, default ok', 'fabrikam, default failed'],
    )
    assert.match(textOf(report, 'consent.token'), /not made: the time for all checks is over/)
    assert.deepEqual([report.ok, report.exchanges], [false, 1])
  })

  test('a tenant of which Entra says nothing is the only one that fails, and none is requested', async t => {
    emulator.fault({ kind: 'hung', at: 'discovery', tenant: sample.contoso })
    const report = await world.examine(t, { environment: { BROKER_UPSTREAM_TIMEOUT_MS: '500' } })
    assert.deepEqual(idsOf(report, 'failed'), ['tenants.known'])
    const lines = report.checks
      .filter(({ id }) => id === 'tenants.known')
      .map(({ subject, status }) => `${subject} ${status}`)
    assert.deepEqual(lines, ['contoso failed', 'fabrikam skipped'])
    assert.equal(report.exchanges, 0)
  })

  test('at most twenty, although the policy names more tenants', async t => {
    const report = await world.examine(t, { policy: { tenants: manyTenants } })
    assert.deepEqual([report.exchanges, idsOf(report, 'failed')], [20, []])
    assert.match(
      textOf(report, 'consent.token'),
      /5 more tenants and applications are not checked: at most 20 .* first 100 tenants .*use --tenant/,
    )
  })

  test('--tenant checks one, by name or id, and one that the policy does not grant yet', async t => {
    for (const tenant of ['fabrikam', sample.fabrikam, sample.fabrikam.toUpperCase()]) {
      const report = await world.examine(t, { tenant })
      assert.deepEqual(idsOf(report, 'failed'), [])
      assert.equal(report.exchanges, 1)
      assert.match(textOf(report, 'consent.token'), /^fabrikam, default/)
    }
    const rules = [rule({ tenants: ['contoso'] })]
    const other = await world.examine(t, { tenant: sample.fabrikam, policy: { rules } })
    assert.match(textOf(other, 'consent.token'), /no rule of the policy grants it yet/)
  })

  test('a tenant without a rule, and one that is denied to all, are not probed', async t => {
    const rules = [rule({ tenants: ['contoso'] })]
    const report = await world.examine(t, { policy: { rules, deny: [{ tenants: ['contoso'] }] } })
    assert.equal(report.exchanges, 0)
    assert.match(textOf(report, 'tenants.known'), /contoso\nno rule[\s\S]*fabrikam\nno rule/)
  })

  test('the home tenant is not one that "*" includes', async t => {
    const tenants = { home: sample.homeTenant, contoso: sample.contoso }
    const report = await world.examine(t, { policy: { tenants, rules: [rule()] } })
    assert.equal(report.exchanges, 1)
  })

  test('each application is probed, and one that fails does not hide another', async t => {
    const applications = { default: sample.application, foreign: foreignApplication }
    const rules = [rule({ applications: ['default', 'foreign'] })]
    const report = await world.examine(t, { policy: { applications, rules } })
    const lines = report.checks
      .filter(({ id }) => id === 'federation.credential')
      .map(({ subject, status }) => `${subject} ${status}`)
    assert.deepEqual(lines, ['default ok', 'foreign failed'])
    assert.equal(report.exchanges, 3)
  })
})
